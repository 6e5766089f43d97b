//! Whether clients get through the public address: two allocations made
//! there, and a packet from the one to the other.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use super::super::client::{Allocation, Credential, Refusal};
use super::super::{Check, Finding, Scene};
use crate::creds;

/// How long a packet may be on its way through the relay, each of three times.
const PATIENCE: Duration = Duration::from_secs(1);
const PAYLOAD: &[u8] = b"forebay doctor";

pub(super) struct External;

impl Check for External {
    fn name(&self) -> &'static str {
        "allocation"
    }

    fn look(&self, scene: &Scene) -> Vec<Finding> {
        if !scene.host.is_live() {
            return Vec::new();
        }
        if scene.server.is_none() {
            return vec![Finding::warning(
                "no server is running, so nothing could be allocated",
                "systemctl start forebay-turnd && forebay doctor",
            )];
        }
        let credential = match credential(scene) {
            Ok(Some(credential)) => credential,
            Ok(None) => {
                return vec![Finding::warning(
                    "the configuration names neither secrets nor users, so nothing could be allocated",
                    "forebay doctor --config FILE     (of forebay-turnd; behind a control plane, use a credential of POST /v1/turn/credentials with turnutils_uclient)",
                )];
            }
            Err(message) => return vec![Finding::warning(message, "sudo forebay doctor")],
        };
        let mut found = Vec::new();
        for target in targets(scene) {
            found.push(judge(&target, &credential));
        }
        found
    }
}

/// Where to knock, and what is expected there.
#[derive(PartialEq, Eq)]
struct Target {
    /// Where clients come.
    public: SocketAddr,
    /// The same socket without the NAT in front.
    local: SocketAddr,
    /// The relay addresses that clients may be told.
    told: Vec<IpAddr>,
}

fn targets(scene: &Scene) -> Vec<Target> {
    let external = scene.configuration.external();
    let public = |local: IpAddr| {
        let mapped = external.iter().find(|(relay, _)| *relay == local);
        mapped.map_or(local, |(_, public)| *public)
    };
    let mut relays = scene.configuration.relays();
    if relays.is_empty() {
        relays = ["192.0.2.1:9", "[2001:db8::1]:9"]
            .iter()
            .filter_map(|route| default_address(route))
            .collect();
    }
    let told: Vec<IpAddr> = relays.iter().map(|relay| public(*relay)).collect();
    let mut targets: Vec<Target> = Vec::new();
    for listener in scene.configuration.listeners("udp") {
        let locals = if listener.ip().is_unspecified() {
            relays.clone()
        } else {
            vec![listener.ip()]
        };
        for local in locals {
            let target = Target {
                public: SocketAddr::new(public(local), listener.port()),
                local: SocketAddr::new(local, listener.port()),
                told: told.clone(),
            };
            if local.is_ipv4() == listener.is_ipv4() && !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    targets
}

/// The source address of a route: connecting a UDP socket sends nothing.
fn default_address(to: &str) -> Option<IpAddr> {
    let from = if to.starts_with('[') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

fn judge(target: &Target, credential: &Credential) -> Finding {
    let Target {
        public,
        local,
        told,
    } = target;
    match attempt(*public, told, credential) {
        Err(Refusal::Silence) if public != local => match attempt(*local, told, credential) {
            Ok(_) => Finding::warning(
                format!(
                    "{public} does not answer from this host, {local} does: either the NAT does not turn packets round, or something in front drops them"
                ),
                format!(
                    "from elsewhere: turnutils_uclient -y -u USER -w PASSWORD {}     (with `forebay creds`; open udp {} in the cloud's security group)",
                    public.ip(),
                    public.port()
                ),
            ),
            Err(refusal) => refused(*local, refusal),
        },
        Err(refusal) => refused(*public, refusal),
        Ok(finding) => finding,
    }
}

fn refused(server: SocketAddr, refusal: Refusal) -> Finding {
    match refusal {
        Refusal::Silence => Finding::failed(
            format!("{server} does not answer"),
            "see what is said of ports and firewall above",
        ),
        Refusal::Error(401, _) => Finding::failed(
            format!("{server} refuses a credential made from the configured secret"),
            "systemctl reload forebay-turnd     (the server may have read another secret; the log says why it refused)",
        ),
        Refusal::Error(code, reason) => Finding::failed(
            format!("{server} answers {code} {reason}"),
            "forebay status     (free relay ports, allocations, drain)",
        ),
        Refusal::Other(message) => {
            Finding::failed(format!("{server}: {message}"), "forebay status")
        }
    }
}

fn attempt(
    server: SocketAddr,
    told: &[IpAddr],
    credential: &Credential,
) -> Result<Finding, Refusal> {
    let first = Allocation::open(server, credential)?;
    let second = Allocation::open(server, credential)?;
    let relayed = first.relayed;
    if !told.is_empty() && !told.contains(&relayed.ip()) {
        let known: Vec<String> = told.iter().map(IpAddr::to_string).collect();
        return Ok(Finding::failed(
            format!(
                "{server} gives {}, and the configuration says {}",
                relayed.ip(),
                known.join(", ")
            ),
            "systemctl restart forebay-turnd     (relay addresses are read at start)",
        ));
    }
    first.permit(second.relayed.ip())?;
    second.permit(relayed.ip())?;
    for _ in 0..3 {
        first.send(second.relayed, PAYLOAD)?;
        if second.receives(relayed, PAYLOAD, PATIENCE) {
            return Ok(Finding::ok(format!(
                "{server} gives {relayed}, and a packet from there arrives at {}",
                second.relayed
            )));
        }
    }
    Ok(Finding::failed(
        format!(
            "{server} gives {relayed}, but no packet from there arrives at {}",
            second.relayed
        ),
        "forebay status     (drops by reason); behind a one-to-one NAT, relay.external has to name the public address",
    ))
}

/// A credential as a web server would make it, or the first static user.
fn credential(scene: &Scene) -> Result<Option<Credential>, String> {
    let locate = |name: &str| scene.configuration.locate(&scene.host, name);
    if let Some(file) = scene.configuration.secret_files().first() {
        let secret = creds::read_secret(&locate(file))?;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| "the clock is before 1970")?;
        let username = format!("{}:forebay-doctor", now.as_secs() + 300);
        let password = Zeroizing::new(creds::password(secret.trim_ascii(), &username)?);
        return Ok(Some(Credential { username, password }));
    }
    let Some(file) = scene.configuration.text("auth", "users_file") else {
        return Ok(None);
    };
    let text = creds::read_secret(&locate(file))?;
    let text = std::str::from_utf8(&text).map_err(|_| format!("{file} is not UTF-8"))?;
    let user = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| line.split_once(':'));
    Ok(user.map(|(name, password)| Credential {
        username: name.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    }))
}
