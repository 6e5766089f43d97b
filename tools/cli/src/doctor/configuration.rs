//! The server's configuration file, as far as checks need it. The server
//! itself validates it (`--check`); here a key that is missing or odd has its
//! default.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::host::Host;

const USUAL: [&str; 2] = ["/etc/forebay/turnd.toml", "/etc/forebay/dataplane.toml"];

/// What was read.
pub(super) struct Configuration {
    /// The file; `None` when there is none and defaults hold.
    pub(super) file: Option<PathBuf>,
    table: toml::Table,
}

impl Configuration {
    /// Reads the named file, or the first usual one there is.
    pub(super) fn load(host: &Host, named: Option<&Path>) -> Result<Self, String> {
        let usual = || {
            USUAL
                .iter()
                .map(Path::new)
                .find(|file| host.path(file).exists())
        };
        let Some(file) = named.or_else(usual) else {
            return Ok(Self {
                file: None,
                table: toml::Table::new(),
            });
        };
        let text = std::fs::read_to_string(host.path(file))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| format!("{}: {}", file.display(), error.message()))?;
        Ok(Self {
            file: Some(file.to_owned()),
            table,
        })
    }

    fn get(&self, section: &str, key: &str) -> Option<&toml::Value> {
        self.table.get(section)?.get(key)
    }

    pub(super) fn text(&self, section: &str, key: &str) -> Option<&str> {
        self.get(section, key)?.as_str()
    }

    pub(super) fn number(&self, section: &str, key: &str) -> Option<u64> {
        u64::try_from(self.get(section, key)?.as_integer()?).ok()
    }

    pub(super) fn is_on(&self, section: &str, key: &str) -> bool {
        self.get(section, key)
            .and_then(toml::Value::as_bool)
            .unwrap_or(false)
    }

    /// An array of strings.
    pub(super) fn list(&self, section: &str, key: &str) -> Option<Vec<&str>> {
        let array = self.get(section, key)?.as_array()?;
        Some(array.iter().filter_map(toml::Value::as_str).collect())
    }

    /// The listening addresses of a transport: udp, tcp, tls or dtls.
    pub(super) fn listeners(&self, transport: &str) -> Vec<SocketAddr> {
        match self.list("listen", transport) {
            Some(list) => list.iter().filter_map(|text| text.parse().ok()).collect(),
            None if transport == "udp" => vec![
                SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478)),
                SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478)),
            ],
            None => Vec::new(),
        }
    }

    /// Relay addresses, where they are named.
    pub(super) fn relays(&self) -> Vec<IpAddr> {
        let list = self.list("relay", "addresses").unwrap_or_default();
        list.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Pairs of a relay address and the public one in front of it.
    pub(super) fn external(&self) -> Vec<(IpAddr, IpAddr)> {
        let array = self
            .get("relay", "external")
            .and_then(toml::Value::as_array);
        let pair = |value: &toml::Value| {
            let address = |key: &str| value.get(key)?.as_str()?.parse().ok();
            Some((address("relay")?, address("public")?))
        };
        array.into_iter().flatten().filter_map(pair).collect()
    }

    pub(super) fn relay_ports(&self) -> RangeInclusive<u16> {
        let parse = |text: &str| {
            let (first, last) = text.split_once('-')?;
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        };
        self.text("relay", "ports")
            .and_then(parse)
            .unwrap_or(49152..=65535)
    }

    /// Ports of media, over UDP and over TCP; `None` where it is off, or comes
    /// over UDP alone.
    pub(super) fn media_ports(
        &self,
        host: &Host,
    ) -> (Option<RangeInclusive<u16>>, Option<RangeInclusive<u16>>) {
        if !self.is_on("media", "enabled") {
            return (None, None);
        }
        let port = |key: &str, usual: u16| {
            let named = self.number("media", key);
            named.map_or(Some(usual), |port| u16::try_from(port).ok())
        };
        let udp = port("port", 7882).map(|first| {
            let more = u16::try_from(self.workers(host).saturating_sub(1)).unwrap_or(u16::MAX);
            first..=first.saturating_add(more)
        });
        let tcp = port("tcp", 7881).filter(|port| *port != 0);
        (udp, tcp.map(|port| port..=port))
    }

    /// Files of REST secrets.
    pub(super) fn secret_files(&self) -> Vec<&str> {
        let array = self.get("auth", "secrets").and_then(toml::Value::as_array);
        array
            .into_iter()
            .flatten()
            .filter_map(|secret| secret.get("file")?.as_str())
            .collect()
    }

    /// Where a file named in the configuration is: among the credentials that
    /// systemd gave to the service, or beside the configuration.
    pub(super) fn locate(&self, host: &Host, name: &str) -> PathBuf {
        let name = Path::new(name);
        if name.is_absolute() {
            return host.path(name);
        }
        for service in ["forebay-turnd.service", "forebay-dataplane.service"] {
            let given = Path::new("/run/credentials").join(service).join(name);
            if host.path(&given).exists() {
                return host.path(&given);
            }
        }
        let beside = self.file.as_deref().and_then(Path::parent);
        host.path(&beside.unwrap_or(Path::new("/etc/forebay")).join(name))
    }

    /// Workers: one per pinned core, else per core of the host.
    pub(super) fn workers(&self, host: &Host) -> usize {
        let pinned = self.get("cores", "pin").and_then(toml::Value::as_array);
        if let Some(cores) = pinned {
            return cores.len();
        }
        let online = host
            .read("/sys/devices/system/cpu/online")
            .unwrap_or_default();
        cpu_count(&online).max(1)
    }
}

/// The size of a list such as `0-3,8`.
pub(super) fn cpu_count(list: &str) -> usize {
    let size = |part: &str| -> Option<usize> {
        match part.split_once('-') {
            Some((first, last)) => {
                let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
                Some(last.checked_sub(first)? + 1)
            }
            None => part.parse::<usize>().ok().map(|_| 1),
        }
    };
    list.trim().split(',').filter_map(size).sum()
}
