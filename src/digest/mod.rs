pub(crate) mod rhythm;
