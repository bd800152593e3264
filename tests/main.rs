//! The black-box tests of the binary, by command.
