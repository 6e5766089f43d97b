//! Chores of this repository, run as `cargo xtask <chore>`.

use std::process::ExitCode;

use clap::Parser;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Check what compiler and clippy do not: crate edges, file lengths,
    /// banned calls, dead files and the like.
    Tidy,
}

fn main() -> anyhow::Result<ExitCode> {
    let Chore::Tidy = Chore::parse();
    let root = xtask::workspace_root();
    let findings = xtask::tidy::check(&root)?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("{} findings", findings.len());
    Ok(ExitCode::FAILURE)
}
