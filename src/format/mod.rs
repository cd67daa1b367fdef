//! Formats: one file or folder each, reader beside writer. None of them knows what kiln puts into it.

pub mod tar;
