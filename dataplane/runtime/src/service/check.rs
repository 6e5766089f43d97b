//! `--check`: everything short of starting.

use std::net::IpAddr;

use super::{Options, ServiceError};
use crate::config::{CertificateFiles, Role, Settings, load_credentials};
use crate::front::{CertificateError, Pair, label};
use crate::node::{Host, Plan, can_bind};
use crate::streams::ClientTransport;

/// Validates configuration, credential files and addresses, and tells what
/// would be started, a line each.
pub(super) fn check(options: &Options) -> Result<Vec<String>, ServiceError> {
    let settings = Settings::load(&options.config, options.role)?;
    let mut lines = Vec::new();
    if options.role == Role::Standalone {
        let credentials = load_credentials(&settings.auth, &options.config)?;
        lines.push(format!(
            "{} secrets, {} users",
            credentials.secrets.len(),
            credentials.users.len()
        ));
    }
    if let Some(files) = CertificateFiles::of(&settings.tls, &options.config) {
        let pem = files.read().map_err(CertificateError::from)?;
        let pair = Pair::new(&pem, &files, !settings.listen.dtls.is_empty())?;
        lines.push(match pair.days_left() {
            days if days < 0 => format!(
                "the certificate in {} is over; renew it",
                files.certificate.display()
            ),
            days => format!("certificate good for {days} days"),
        });
    }
    let plan = Plan::new(&settings, &Host::survey()).map_err(|error| ServiceError::Plan {
        file: options.config.clone(),
        error,
    })?;
    let bindable = |key, address: IpAddr| {
        can_bind(address).map_err(|error| ServiceError::Address {
            key,
            address,
            error,
        })
    };
    for address in &plan.listen {
        bindable("listen.udp", address.ip())?;
        lines.push(format!("listens on udp {address}"));
    }
    for (transport, address) in &plan.front {
        bindable(key_of(*transport), address.ip())?;
        lines.push(format!("listens on {} {address}", label(*transport)));
    }
    for relay in &plan.relays {
        bindable("relay.addresses", relay.local)?;
        if relay.local == relay.public {
            lines.push(format!("relays from {}", relay.local));
        } else {
            lines.push(format!(
                "relays from {}, told to clients as {}",
                relay.local, relay.public
            ));
        }
    }
    if let Some(media) = &plan.media {
        for address in &media.addresses {
            bindable("media.addresses", address.local)?;
        }
        for address in (0..plan.cores.len()).flat_map(|worker| media.of_worker(worker)) {
            if address.local == address.public {
                lines.push(format!("media on udp {}", address.local));
            } else {
                lines.push(format!(
                    "media on udp {}, told to clients as {}",
                    address.local, address.public
                ));
            }
        }
        for address in media.tcp() {
            lines.push(format!(
                "media on tcp {}, told to clients as {}",
                address.local, address.public
            ));
        }
    }
    if let Some(metrics) = settings.metrics.listen {
        bindable("metrics.listen", metrics.ip())?;
        lines.push(format!("metrics on http://{metrics}/metrics"));
    }
    lines.push(format!(
        "{} workers on cores {:?}, {} relay ports, room for {} allocations each",
        plan.cores.len(),
        plan.cores,
        plan.ports.iter().map(Vec::len).sum::<usize>(),
        plan.turn.capacity.allocations,
    ));
    lines.extend(plan.chosen.iter().cloned());
    Ok(lines)
}

fn key_of(transport: ClientTransport) -> &'static str {
    match transport {
        ClientTransport::Tcp => "listen.tcp",
        ClientTransport::Tls => "listen.tls",
        ClientTransport::Dtls => "listen.dtls",
    }
}
