//! The data plane: relays packets as the control plane decides, and goes on
//! relaying while the control plane is away.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use forebay_runtime::config::Role;
use forebay_runtime::service::{Options, Task};

const SOFTWARE: &str = concat!("forebay-dataplane ", env!("CARGO_PKG_VERSION"));

/// Forebay's data plane: a TURN relay (RFC 8656) on io_uring whose secrets,
/// users and peer policy come from forebay-controlplane over a local socket.
///
/// Until a control plane connects nobody can allocate. When it goes away
/// everything it set stays in force. Everything has a default: an empty
/// configuration file is a good one.
///
/// Signals: SIGHUP reads the peer lists again, unless the control plane has
/// set them. SIGTERM refuses new allocations and ends when the old ones have,
/// at the latest after lifetimes.drain; a second SIGTERM, or SIGINT (Ctrl-C),
/// ends at once.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Arguments {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/forebay/dataplane.toml"
    )]
    config: PathBuf,
    /// Validate the configuration and the addresses it names, tell what would
    /// be started, and end.
    #[arg(long)]
    check: bool,
    /// Print the default configuration with every key explained, and end.
    #[arg(long, conflicts_with = "check")]
    print_default: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        config: arguments.config,
        role: Role::Controlled,
        software: SOFTWARE,
    };
    match Task::of(arguments.check, arguments.print_default).carry_out(&options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("forebay-dataplane: {message}");
            ExitCode::FAILURE
        }
    }
}
