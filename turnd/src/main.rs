//! A TURN server by itself: one configuration file, no control plane.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use forebay_runtime::config::Role;
use forebay_runtime::service::{Options, Task};
use forebay_turnd::import_coturn::command as import_coturn;

const SOFTWARE: &str = concat!("forebay-turnd ", env!("CARGO_PKG_VERSION"));

/// A TURN server (RFC 8656) on io_uring, configured by one file.
///
/// To begin: print the default configuration into a file, name a secret in it,
/// check it, start.
///
///   forebay-turnd --print-default > turnd.toml
///   openssl rand -hex 32 > turn.secret && chmod 600 turn.secret
///   (set secrets = [{ id = "1", file = "turn.secret" }] in turnd.toml)
///   forebay-turnd --config turnd.toml --check
///   forebay-turnd --config turnd.toml
///
/// Signals: SIGHUP reads secrets, users and peer lists again. SIGTERM refuses
/// new allocations and ends when the old ones have, at the latest after
/// lifetimes.drain; a second SIGTERM, or SIGINT (Ctrl-C), ends at once.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/forebay/turnd.toml"
    )]
    config: PathBuf,
    /// Validate the configuration, the files and the addresses it names, tell
    /// what would be started, and end.
    #[arg(long)]
    check: bool,
    /// Print the default configuration with every key explained, and end.
    #[arg(long, conflicts_with = "check")]
    print_default: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    ImportCoturn(import_coturn::Arguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Verb::ImportCoturn(import)) = &arguments.verb {
        return import_coturn::run(import);
    }
    let options = Options {
        config: arguments.config,
        role: Role::Standalone,
        software: SOFTWARE,
    };
    match Task::of(arguments.check, arguments.print_default).carry_out(&options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("forebay-turnd: {message}");
            ExitCode::FAILURE
        }
    }
}
