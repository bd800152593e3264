//! Text as a terminal may see it: escaped, measured, cut.
