//! `forebay-bench`: compares servers in a rig of network namespaces, loads any
//! TURN server, and checks that nothing is lost while a server is disturbed.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use forebay_benches::forward::target::Forwarder;
use forebay_benches::relay::rows::{Direction, Row, Transport};
use forebay_benches::relay::{self, Part, table};
use forebay_benches::rig::cleanup;
use forebay_benches::servers::{Kind, sibling, sibling_turnd};
use forebay_benches::turn_client::{Credentials, IN_FLIGHT};
use forebay_benches::{bare, forward, load, soak, survive};

/// Benchmarks of Forebay, end to end.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare TURN servers over UDP, TCP and TLS in two network namespaces (as root)
    Relay(RelayArguments),
    /// Compare forwarders of SRTP in two network namespaces (as root)
    Forward(ForwardArguments),
    /// Record a CPU profile of one server under load (as root)
    Profile(ProfileArguments),
    /// Load any TURN server over UDP
    Load(LoadArguments),
    /// Pump many relays and fail when a single packet is lost
    Survive(SurviveArguments),
    /// Churn for half an hour and fail when anything is left over
    Soak(SoakArguments),
    /// The bare forwarder the comparison starts
    #[command(hide = true)]
    Bare(BareArguments),
}

#[derive(Debug, Args)]
struct RelayArguments {
    /// Only the rows that decide: about six minutes
    #[arg(long)]
    quick: bool,
    /// Servers to compare, in order [default: the bare io_uring forwarder,
    /// coturn and forebay]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Parts to run
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "rows,streams,allocations,overload"
    )]
    parts: Vec<Part>,
    /// Rounds per row
    #[arg(long)]
    rounds: Option<usize>,
    /// Give the server a NIC that does not take UDP super-packets
    #[arg(long)]
    no_segmentation_offload: bool,
    /// forebay-turnd [default: beside this program]
    #[arg(long)]
    turnd: Option<PathBuf>,
    /// Write all figures here, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the tables for a README here
    #[arg(long)]
    markdown: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ForwardArguments {
    /// Only one publisher to 100 subscribers: about two minutes
    #[arg(long)]
    quick: bool,
    /// Servers to compare, in order [default: bare copies, janus, forebay]
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Forwarder>,
    /// Rounds per row
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Write the figures as JSON
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write the table as Markdown
    #[arg(long)]
    markdown: Option<PathBuf>,
    /// forebay-dataplane [default: beside this program]
    #[arg(long)]
    dataplane: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ProfileArguments {
    /// Where perf writes
    #[arg(long)]
    out: PathBuf,
    /// Which server
    #[arg(long, default_value = "forebay")]
    server: Kind,
    /// What clients speak over
    #[arg(long, default_value = "udp")]
    transport: Transport,
    /// Bytes of payload
    #[arg(long, default_value_t = 172)]
    payload: usize,
    /// Datagrams of one flow in a row
    #[arg(long, default_value_t = 8)]
    burst: usize,
    /// Number of allocations
    #[arg(long, default_value_t = 1000)]
    allocations: u16,
    /// Which way
    #[arg(long, default_value = "client-to-peer")]
    direction: Direction,
    /// forebay-turnd [default: beside this program]
    #[arg(long)]
    turnd: Option<PathBuf>,
}

/// Where the server is and what it accepts.
#[derive(Debug, Args)]
struct ServerArguments {
    /// Address and port of the TURN server
    #[arg(long)]
    server: SocketAddr,
    /// File with a TURN REST secret
    #[arg(long, conflicts_with = "credentials_file")]
    secret_file: Option<PathBuf>,
    /// File with one line name:password
    #[arg(long)]
    credentials_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct LoadArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Address clients send from
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    client: IpAddr,
    /// Address of the peers, as the server reaches it
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    peer: IpAddr,
    /// Number of allocations, each with a socket of its own
    #[arg(long, default_value_t = 100)]
    allocations: usize,
    /// Requests in flight while allocating
    #[arg(long, default_value_t = IN_FLIGHT)]
    in_flight: usize,
    /// Bytes of payload
    #[arg(long, default_value_t = 172)]
    payload: usize,
    /// Datagrams of one flow in a row
    #[arg(long, default_value_t = 1)]
    burst: usize,
    /// Which way
    #[arg(long, default_value = "client-to-peer")]
    direction: Direction,
    /// Datagrams per second [default: as fast as it goes]
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds of load
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SurviveArguments {
    #[command(flatten)]
    server: ServerArguments,
    /// Address of clients and peers
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    local: IpAddr,
    /// Number of relays
    #[arg(long, default_value_t = 1000)]
    relays: usize,
    /// Seconds of load, fewer than the 300 a permission lives
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..280))]
    seconds: u64,
    /// Datagrams per second and direction of each relay
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct SoakArguments {
    /// Minutes of churn
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// forebay-turnd [default: beside this program]
    #[arg(long)]
    turnd: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BareArguments {
    #[arg(long)]
    mode: bare::Mode,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    relay_port: u16,
    #[arg(long)]
    clients: SocketAddr,
    #[arg(long)]
    peers: SocketAddr,
    #[arg(long)]
    flows: u16,
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::Relay(arguments) => compare(&arguments),
        Command::Forward(arguments) => forwarders(&arguments),
        Command::Profile(arguments) => profile(&arguments),
        Command::Load(arguments) => pump(&arguments),
        Command::Survive(arguments) => endure(&arguments),
        Command::Soak(arguments) => churn(&arguments),
        Command::Bare(arguments) => {
            let BareArguments {
                mode,
                listen,
                relay_port,
                clients,
                peers,
                flows,
            } = arguments;
            bare::run(
                mode,
                bare::Plan {
                    listen,
                    relay_port,
                    clients,
                    peers,
                    flows,
                },
            )?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn compare(arguments: &RelayArguments) -> Result<ExitCode> {
    cleanup::install()?;
    let servers = match &arguments.servers[..] {
        [] => vec![Kind::BareRing, Kind::Coturn, Kind::Forebay],
        chosen => chosen.to_vec(),
    };
    let turnd = match &arguments.turnd {
        None if servers.contains(&Kind::Forebay) => sibling_turnd()?,
        path => path.clone().unwrap_or_default(),
    };
    let report = relay::run(&relay::Options {
        quick: arguments.quick,
        servers,
        rounds: arguments.rounds,
        parts: arguments.parts.clone(),
        segmentation_offload: !arguments.no_segmentation_offload,
        turnd,
    })?;
    print!("{}", table::plain(&report));
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.markdown {
        fs::write(path, table::markdown(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn forwarders(arguments: &ForwardArguments) -> Result<ExitCode> {
    cleanup::install()?;
    let forwarders = match &arguments.servers[..] {
        [] => vec![Forwarder::Bare, Forwarder::Janus, Forwarder::Forebay],
        chosen => chosen.to_vec(),
    };
    let dataplane = match &arguments.dataplane {
        Some(path) => path.clone(),
        None => sibling("forebay-dataplane")?,
    };
    let report = forward::run(&forward::Options {
        quick: arguments.quick,
        forwarders,
        rounds: arguments.rounds,
        dataplane,
    })?;
    print!("{}", forward::table::plain(&report));
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if let Some(path) = &arguments.markdown {
        fs::write(path, forward::table::markdown(&report))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn profile(arguments: &ProfileArguments) -> Result<ExitCode> {
    cleanup::install()?;
    let row = Row {
        transport: arguments.transport,
        payload: arguments.payload,
        burst: arguments.burst,
        allocations: arguments.allocations,
        direction: arguments.direction,
    };
    let turnd = match &arguments.turnd {
        None if arguments.server == Kind::Forebay => sibling_turnd()?,
        path => path.clone().unwrap_or_default(),
    };
    relay::profile(arguments.server, &row, &turnd, &arguments.out)?;
    Ok(ExitCode::SUCCESS)
}

fn pump(arguments: &LoadArguments) -> Result<ExitCode> {
    let outcome = load::run(&load::Options {
        server: arguments.server.server,
        credentials: credentials(&arguments.server)?,
        client: arguments.client,
        peer: arguments.peer,
        allocations: arguments.allocations,
        in_flight: arguments.in_flight,
        payload: arguments.payload,
        burst: arguments.burst,
        direction: arguments.direction,
        rate: arguments.rate,
        duration: Duration::from_secs_f64(arguments.seconds),
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!(
            "{:.0} allocations/s; sent {}, arrived {} ({:.0}/s), loss {:.2} %",
            outcome.allocations_per_second,
            outcome.sent,
            outcome.arrived,
            outcome.packets_per_second,
            outcome.loss * 100.0
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn endure(arguments: &SurviveArguments) -> Result<ExitCode> {
    let options = survive::Options {
        server: arguments.server.server,
        credentials: credentials(&arguments.server)?,
        relays: arguments.relays,
        duration: Duration::from_secs(arguments.seconds),
        rate: arguments.rate,
        local: arguments.local,
    };
    let outcome = survive::run(&options, || eprintln!("pumping"))?;
    if arguments.json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!(
            "{} relays: sent {}, received {}, lost {}, duplicates {}, errors {}, longest silence \
             {} ms",
            outcome.relays,
            outcome.sent,
            outcome.received,
            outcome.lost,
            outcome.duplicates,
            outcome.errors,
            outcome.longest_silence_ms
        );
    }
    Ok(if outcome.is_lossless() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn churn(arguments: &SoakArguments) -> Result<ExitCode> {
    let report = soak::run(&soak::Options {
        duration: Duration::try_from_secs_f64(arguments.minutes * 60.0)?,
        turnd: match &arguments.turnd {
            Some(path) => path.clone(),
            None => sibling_turnd()?,
        },
    })?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", soak::table::plain(&report));
    }
    Ok(if report.is_sound() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn credentials(arguments: &ServerArguments) -> Result<Credentials> {
    let read = |path: &PathBuf| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    if let Some(path) = &arguments.secret_file {
        let secret = read(path)?;
        let day = Duration::from_secs(86_400);
        return Credentials::from_secret(secret.trim_end().as_bytes(), "bench", day);
    }
    let Some(path) = &arguments.credentials_file else {
        bail!("--secret-file or --credentials-file is needed");
    };
    let text = read(path)?;
    let (name, password) = text
        .trim_end()
        .split_once(':')
        .context("not name:password")?;
    Ok(Credentials::new(name.to_owned(), password.to_owned()))
}
