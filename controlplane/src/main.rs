//! The binary forebay-controlplane.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use forebay_controlplane::config::{Config, Level, Log, LogFormat};
use forebay_controlplane::settings::Settings;
use tracing::level_filters::LevelFilter;

/// Hands out TURN credentials and directs the data plane.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The configuration file.
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "/etc/forebay/controlplane.toml"
    )]
    config: PathBuf,
    /// Check the configuration and every file it names, and start nothing.
    #[arg(long)]
    check: bool,
    /// Print the default configuration with its documentation.
    #[arg(long)]
    print_default: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.print_default {
        print!("{}", Config::print_default());
        return ExitCode::SUCCESS;
    }
    let settings = match Settings::load(&arguments.config) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
        println!("{}: fine", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    start_log(&settings.config.log);
    // One thread serves thousands of credentials a second and leaves the
    // cores to the data plane.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(forebay_controlplane::run(&arguments.config, settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            ExitCode::FAILURE
        }
    }
}

fn start_log(log: &Log) {
    let level = match log.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
