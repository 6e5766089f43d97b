//! Chores of this repository, run as `cargo xtask <chore>`.

use std::process::ExitCode;

use clap::Parser;
use xtask::run::Run;

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
enum Chore {
    /// Check what compiler and clippy do not: crate edges, file lengths,
    /// banned calls, dead files and the like.
    Tidy,
    /// Start a data plane and a control plane on this machine, print the
    /// page's address, the TURN URL and a working credential, and stop both on
    /// Ctrl-C.
    Run(Run),
}

fn main() -> anyhow::Result<ExitCode> {
    match Chore::parse() {
        Chore::Tidy => tidy(),
        Chore::Run(arguments) => xtask::run::run(&arguments).map(|()| ExitCode::SUCCESS),
    }
}

fn tidy() -> anyhow::Result<ExitCode> {
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
