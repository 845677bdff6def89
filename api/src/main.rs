//! The binary `ledger`.

use std::process::ExitCode;

// Inference allocates and frees large tensors all the time, which this allocator is much faster at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    api::cli::run()
}
