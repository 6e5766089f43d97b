//! The running server's TCP, TLS and DTLS addresses.

#[path = "../../../controlplane/tests/support/browser.rs"]
mod browser_scripts;
#[path = "../server/mod.rs"]
mod server;

mod aiortc;
mod browser;
mod certificate;
mod chain;
mod clients;
mod floods;
mod proxied;
mod shared_port;
mod tcp_relay;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use server::{Server, Setup, free_port, free_tcp_port, installed, told};

/// A server with every kind of address. TLS is on one that is shared with
/// HTTPS.
struct Place {
    setup: Setup,
    tcp: u16,
    tls: u16,
    dtls: u16,
}

/// The name in its certificate.
const NAME: &str = "localhost";

impl Place {
    fn new() -> Self {
        let place = Self {
            setup: Setup::new(),
            tcp: free_tcp_port(),
            tls: free_tcp_port(),
            dtls: free_port(),
        };
        place.make_certificate("tls.crt", "tls.key", "first");
        place
    }

    /// A self-signed pair whose issuer tells which one it is.
    fn make_certificate(&self, certificate: &str, key: &str, organisation: &str) {
        let subject = format!("/O={organisation}/CN={NAME}");
        let names = format!("subjectAltName=DNS:{NAME},IP:{}", self.setup.address);
        let output = installed(
            Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "90"])
                .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", &subject])
                .args(["-addext", &names])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .arg("-keyout")
                .arg(self.setup.path(key))
                .arg("-out")
                .arg(self.setup.path(certificate))
                .output(),
        );
        assert!(output.status.success(), "{}", told(&output));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(self.setup.path(key), mode).expect("mode set");
    }

    /// `tls`, `more`: further lines of `[tls]` and at the end.
    fn write(&self, tls: &str, more: &str) {
        let Self {
            tcp,
            tls: tls_port,
            dtls,
            ..
        } = self;
        let ip = self.setup.address;
        let listen = format!(
            "tcp = [\"{ip}:{tcp}\"]\ntls = [\"{ip}:{tls_port}\"]\ndtls = [\"{ip}:{dtls}\"]\n\
             [tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n{tls}[relay]\n"
        );
        let config = self.setup.config().replacen("[relay]\n", &listen, 1);
        self.setup
            .write("turnd.toml", &format!("{config}{more}"), 0o644);
    }

    fn start(self, tls: &str, more: &str) -> Running {
        self.write(tls, more);
        self.run()
    }

    /// With the file as it was written.
    fn run(self) -> Running {
        let Self {
            setup,
            tcp,
            tls,
            dtls,
        } = self;
        let ip = setup.address;
        Running {
            server: setup.start(),
            ip,
            tcp,
            tls,
            dtls,
        }
    }
}

/// It runs.
struct Running {
    server: Server,
    ip: Ipv4Addr,
    tcp: u16,
    tls: u16,
    dtls: u16,
}

impl Running {
    fn tcp(&self) -> SocketAddr {
        SocketAddr::from((self.ip, self.tcp))
    }

    fn tls(&self) -> SocketAddr {
        SocketAddr::from((self.ip, self.tls))
    }

    /// curl against the TLS address, by a name that leads there.
    fn curl(&self, name: &str, arguments: &[&str]) -> String {
        let resolve = format!("{name}:{}:{}", self.tls, self.ip);
        let url = format!("https://{name}:{}/", self.tls);
        let output = installed(
            Command::new("curl")
                .args(["--silent", "--insecure", "--max-time", "15"])
                .args(["--resolve", &resolve])
                .args(arguments)
                .arg(&url)
                .output(),
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The value of a metric with these labels, once what was counted is in
    /// it.
    fn counted(&self, line: &str) -> f64 {
        self.server
            .metrics()
            .lines()
            .find_map(|candidate| candidate.strip_prefix(line)?.trim().parse().ok())
            .unwrap_or(0.0)
    }
}
