//! Runs the simulator over one seed or many.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use forebay_sim::{DEFAULT_EVENTS, Report, run, run_and_print};
use indicatif::{ProgressBar, ProgressStyle};

/// Simulates clients, peers, NATs and a lossy network around real shards and
/// holds them against a reference model.
#[derive(Parser)]
struct Arguments {
    /// Run this seed only.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run the seeds A..B, B excluded.
    #[arg(long, value_parser = parse_range, default_value = "0..1000", value_name = "A..B")]
    seeds: Range<u64>,
    /// Events per run before the clients leave.
    #[arg(long, default_value_t = DEFAULT_EVENTS)]
    events: u64,
    /// Print every event; with --seed.
    #[arg(long, requires = "seed")]
    trace: bool,
}

fn parse_range(text: &str) -> anyhow::Result<Range<u64>> {
    let (from, to) = text.split_once("..").context("expected A..B")?;
    Ok(from.parse()?..to.parse()?)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match (arguments.seed, arguments.trace) {
        (Some(seed), true) => run_and_print(seed, arguments.events),
        (Some(seed), false) => run(seed, arguments.events),
        (None, _) => run_many(arguments.seeds, arguments.events),
    };
    match result {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            eprintln!(
                "replay: cargo run -p forebay-sim -- --seed {} --events {} --trace",
                failure.seed, arguments.events
            );
            ExitCode::FAILURE
        }
    }
}

fn run_many(seeds: Range<u64>, events: u64) -> Result<Report, Box<forebay_sim::Failure>> {
    let bar = ProgressBar::new(seeds.end.saturating_sub(seeds.start));
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {per_sec}, {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    let mut total = Report::default();
    for seed in seeds {
        let report = run(seed, events).inspect_err(|_| bar.abandon())?;
        total.add(&report);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(total)
}
