//! `forebay doctor`: whether this host and this configuration are good for a
//! relay, and the command that fixes what is not.

mod checks;
mod client;
mod configuration;
mod finding;
mod host;
mod server;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use configuration::Configuration;
use finding::{Finding, Findings, Level};
use host::Host;
use server::Server;

/// Check this host and the server on it: kernel, limits, socket buffers,
/// ports, certificate, clock, the public address (by a real allocation through
/// it), firewall, network card, systemd unit. Every finding that is not ok
/// comes with what fixes it. Changes nothing.
///
/// Best run as root while the server runs. Ends with 0 when all is ok, 1 when
/// there are warnings, 2 when something failed.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The server's configuration file. Omitted: /etc/forebay/turnd.toml, else
    /// /etc/forebay/dataplane.toml, else defaults.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A name that clients use; the certificate must be good for it.
    /// Repeatable.
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// The time server to compare the clock with, port 123 unless given;
    /// "none" asks nobody.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "pool.ntp.org")]
    ntp: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Look at a folder with copies of /proc, /sys, /etc and of what commands
    /// printed (commands/PROGRAM ARGUMENTS) instead of this host. Nothing is
    /// sent then.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
}

/// What checks look at.
struct Scene {
    host: Host,
    configuration: Configuration,
    /// The server, when it runs.
    server: Option<Server>,
    /// Names that clients use.
    names: Vec<String>,
    /// The time server, if one is to be asked.
    ntp: Option<String>,
}

/// One subject.
trait Check {
    /// As it is shown, of up to 12 letters.
    fn name(&self) -> &'static str;
    /// Looks, and says what there is to say; nothing when it does not apply.
    fn look(&self, scene: &Scene) -> Vec<Finding>;
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let host = Host::new(arguments.root.clone());
    let configuration = Configuration::load(&host, arguments.config.as_deref())?;
    let server = Server::find(&host);
    let scene = Scene {
        names: arguments.name.clone(),
        ntp: (arguments.ntp != "none" && host.is_live()).then(|| arguments.ntp.clone()),
        host,
        configuration,
        server,
    };
    let mut found = Vec::new();
    for check in checks::ALL {
        for finding in check.look(&scene) {
            found.push((check.name(), finding));
        }
    }
    let findings = Findings(found);
    print(arguments, &scene, &findings);
    Ok(match findings.level() {
        Level::Ok => ExitCode::SUCCESS,
        Level::Warning => ExitCode::from(1),
        Level::Failed => ExitCode::from(2),
    })
}

fn print(arguments: &Arguments, scene: &Scene, findings: &Findings) {
    let file = scene.configuration.file.as_ref();
    let mut out = std::io::stdout();
    let text = if arguments.json {
        let about = json!({
            "configuration": file.map(|file| file.display().to_string()),
            "server": scene.server.as_ref().map(|server| json!({
                "program": server.program,
                "pid": server.pid,
            })),
        });
        format!("{:#}\n", findings.to_json(&about))
    } else {
        let file = file.map_or_else(
            || "no configuration file, defaults hold".to_owned(),
            |file| format!("configuration {}", file.display()),
        );
        let server = scene.server.as_ref().map_or_else(
            || "no server is running".to_owned(),
            |server| format!("{} runs as process {}", server.program, server.pid),
        );
        let is_terminal = out.is_terminal();
        let coloured = is_terminal && std::env::var_os("NO_COLOR").is_none();
        format!("{file}; {server}\n\n{}", findings.to_text(coloured, 100))
    };
    // A closed pipe (`| head`) is nobody's failure.
    let _ = out.write_all(text.as_bytes());
}
