//! The kiln command: parse, dispatch, report.

fn main() {}
