//! `forebay`: what operators type.

mod creds;
mod doctor;
mod drain;
mod link;
mod reload;
mod sessions;
mod status;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Looks at a running Forebay and its host, operates it and makes credentials
/// for it.
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
    /// List the allocations of this host, or end some of them.
    Sessions(sessions::Arguments),
    /// Have the configuration file read again.
    Reload(reload::Arguments),
    /// Refuse new allocations, wait for the old ones and end the process.
    Drain(drain::Arguments),
    /// Make a TURN REST credential from a secret file.
    Creds(creds::Arguments),
    /// Check this host and the server on it, and say how to fix what is not
    /// good.
    Doctor(doctor::Arguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Status(arguments) => status::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Sessions(arguments) => sessions::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Reload(arguments) => reload::run(&arguments),
        Verb::Drain(arguments) => drain::run(&arguments),
        Verb::Creds(arguments) => creds::run(&arguments).map(|()| ExitCode::SUCCESS),
        Verb::Doctor(arguments) => doctor::run(&arguments),
    };
    match done {
        Ok(code) => code,
        Err(message) => {
            eprintln!("forebay: {message}");
            ExitCode::FAILURE
        }
    }
}
