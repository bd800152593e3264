//! The daily digest.

pub(crate) mod deliver;
