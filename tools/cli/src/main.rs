//! `forebay`: what operators type.

mod creds;
mod observer;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at a running Forebay and makes credentials for it.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what a data plane or forebay-turnd on this host is doing.
    Status(status::Arguments),
    /// Make a TURN REST credential from a secret file.
    Creds(creds::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Status(arguments) => status::run(&arguments),
        Verb::Creds(arguments) => creds::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("forebay: {message}");
            ExitCode::FAILURE
        }
    }
}
