//! The binary `ledger`.

fn main() {}
