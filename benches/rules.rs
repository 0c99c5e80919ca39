//! How long the rules take to read a text.

fn main() {}
