//! What types cannot say: every value in its range and agreeing with the rest.

use std::collections::HashSet;
use std::time::Duration;

use super::Role;
use super::settings::Settings;
use super::validate_streams::streams;
use super::{nat_discovery, other_servers};

/// Problems as dotted key and message.
pub(super) fn problems(settings: &Settings, role: Role) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    identity(settings, role, &mut found);
    addresses(settings, &mut found);
    sizes(settings, &mut found);
    times(settings, &mut found);
    media(settings, role, &mut found);
    streams(settings, &mut found);
    usage(settings, &mut found);
    other_servers::problems(settings, &mut found);
    nat_discovery::problems(settings, &mut found);
    found
}

fn usage(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let usage = &settings.usage;
    if let Some(url) = &usage.webhook {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/'))
            || url.chars().any(|c| c.is_whitespace() || c.is_control())
        {
            found.push((
                "usage.webhook",
                "must be an http or https URL, as \"https://billing.example.org/turn\"".to_owned(),
            ));
        }
    } else if usage.webhook_token_file.is_some() {
        found.push((
            "usage.webhook_token_file",
            "is for `usage.webhook`, which is not set; set it or leave this out".to_owned(),
        ));
    }
    if usage
        .interim
        .is_some_and(|interval| interval < Duration::from_secs(1))
    {
        found.push((
            "usage.interim",
            "may not be below 1s; leave it out for records at the end alone".to_owned(),
        ));
    }
    if usage.spool == 0 || usage.spool > 1 << 20 {
        found.push(("usage.spool", "must lie between 1 and 1048576".to_owned()));
    }
}

fn identity(settings: &Settings, role: Role, found: &mut Vec<(&'static str, String)>) {
    if settings.realm.is_empty() || settings.realm.len() > 127 {
        found.push(("realm", "must have 1 to 127 bytes".to_owned()));
    }
    if settings
        .realm
        .chars()
        .any(|c| c.is_control() || c == '"' || c == '\\')
    {
        found.push((
            "realm",
            "must not hold quotes, backslashes or control characters".to_owned(),
        ));
    }
    if settings.auth.software.len() > 64 {
        found.push(("auth.software", "must have at most 64 bytes".to_owned()));
    }
    let algorithms = &settings.auth.algorithms;
    if algorithms.is_empty()
        || (1..algorithms.len()).any(|at| algorithms[..at].contains(&algorithms[at]))
    {
        found.push((
            "auth.algorithms",
            "names \"sha256\", \"md5\" or both, each once".to_owned(),
        ));
    }
    let mut ids = HashSet::new();
    for secret in &settings.auth.secrets {
        if secret.id.is_empty() || secret.id.len() > 64 || secret.id.chars().any(char::is_control) {
            found.push((
                "auth.secrets",
                format!("id {:?} must have 1 to 64 printable bytes", secret.id),
            ));
        }
        if !ids.insert(&secret.id) {
            found.push((
                "auth.secrets",
                format!(
                    "id {:?} stands twice; every secret needs its own",
                    secret.id
                ),
            ));
        }
    }
    let local_auth = !settings.auth.secrets.is_empty() || settings.auth.users_file.is_some();
    match role {
        Role::Standalone if !local_auth => found.push((
            "auth",
            "no secrets and no users_file: anyone could relay through this host. Make a secret with \
             `openssl rand -hex 32 > turn.secret && chmod 600 turn.secret` and name it as \
             secrets = [{ id = \"1\", file = \"turn.secret\" }]"
                .to_owned(),
        )),
        Role::Controlled if local_auth => found.push((
            "auth",
            "this process takes secrets and users from the control plane; move them to its configuration, or run \
             forebay-turnd for a server without a control plane"
                .to_owned(),
        )),
        _ => {}
    }
    if settings.auth.allocations_per_user == Some(0) {
        found.push((
            "auth.allocations_per_user",
            "0 would refuse everyone; leave it out for no limit".to_owned(),
        ));
    }
}

fn addresses(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    if let Some(pin) = &settings.cores.pin {
        if pin.is_empty() {
            found.push((
                "cores.pin",
                "names no core; leave it out to use every core".to_owned(),
            ));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = pin.iter().find(|core| !seen.insert(**core)) {
            found.push(("cores.pin", format!("core {twice} stands twice")));
        }
    }
    if let Some(udp) = &settings.listen.udp {
        if udp.is_empty() {
            found.push((
                "listen.udp",
                "names no address; leave it out for port 3478 on every address".to_owned(),
            ));
        }
        if udp.len() > 64 {
            found.push(("listen.udp", "at most 64 addresses".to_owned()));
        }
        let mut seen = HashSet::new();
        for address in udp {
            if address.port() == 0 {
                found.push((
                    "listen.udp",
                    format!("{address} has no port; clients must know it"),
                ));
            }
            if address.ip().is_multicast() {
                found.push(("listen.udp", format!("{address} is a multicast address")));
            }
            if !seen.insert(address) {
                found.push(("listen.udp", format!("{address} stands twice")));
            }
        }
    }
    if let Some(relays) = &settings.relay.addresses {
        if relays.is_empty() {
            found.push((
                "relay.addresses",
                "names no address; leave it out for the default route's".to_owned(),
            ));
        }
        let mut seen = HashSet::new();
        for address in relays {
            if address.is_unspecified() || address.is_multicast() {
                found.push((
                    "relay.addresses",
                    format!("{address} cannot be told to clients; name a real address"),
                ));
            }
            if !seen.insert(address) {
                found.push(("relay.addresses", format!("{address} stands twice")));
            }
        }
        for external in &settings.relay.external {
            if !relays.contains(&external.relay) {
                found.push((
                    "relay.external",
                    format!("{} is not among relay.addresses", external.relay),
                ));
            }
        }
    }
    let mut mapped = HashSet::new();
    for external in &settings.relay.external {
        if external.relay.is_ipv4() != external.public.is_ipv4() {
            found.push((
                "relay.external",
                format!(
                    "{} and {} differ in family",
                    external.relay, external.public
                ),
            ));
        }
        if external.public.is_unspecified() || external.public.is_multicast() {
            found.push((
                "relay.external",
                format!("{} cannot be told to clients", external.public),
            ));
        }
        if !mapped.insert(external.relay) {
            found.push((
                "relay.external",
                format!("{} is mapped twice", external.relay),
            ));
        }
    }
}

fn sizes(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    let limits = &settings.limits;
    for (key, value) in [
        ("limits.allocations", limits.allocations),
        ("limits.permissions", limits.permissions),
        ("limits.channels", limits.channels),
    ] {
        if value.is_some_and(|value| value == 0 || value > 16_000_000) {
            found.push((key, "must lie between 1 and 16000000".to_owned()));
        }
    }
    for (key, value) in [
        (
            "limits.bandwidth_per_allocation",
            limits.bandwidth_per_allocation,
        ),
        ("limits.bandwidth_per_user", limits.bandwidth_per_user),
        ("limits.bandwidth_host", limits.bandwidth_host),
    ] {
        if value.is_some_and(|value| !(8_000..=10_000_000_000_000).contains(&value)) {
            found.push((
                key,
                "is in bits per second, between 8000 and 10000000000000; leave it out for no limit"
                    .to_owned(),
            ));
        }
    }
    if limits.new_peers_per_second > 0 && limits.new_peers_burst == 0 {
        found.push((
            "limits.new_peers_burst",
            "0 would let nobody reach a peer; set new_peers_per_second = 0 for no limit".to_owned(),
        ));
    }
    if limits.new_peers_per_user_per_second > 0 && limits.new_peers_per_user_burst == 0 {
        found.push((
            "limits.new_peers_per_user_burst",
            "0 would let nobody reach a peer; set new_peers_per_user_per_second = 0 for no limit"
                .to_owned(),
        ));
    }
    if limits.permissions_per_allocation == 0 {
        found.push((
            "limits.permissions_per_allocation",
            "0 would relay nothing".to_owned(),
        ));
    }
    if limits.requests_per_batch == 0 {
        found.push((
            "limits.requests_per_batch",
            "0 would answer nobody while media flows".to_owned(),
        ));
    }
    if limits.unauthenticated_per_second > 0 && limits.unauthenticated_burst == 0 {
        found.push((
            "limits.unauthenticated_burst",
            "0 would answer nobody".to_owned(),
        ));
    }
    let sockets = &settings.sockets;
    for (key, value) in [
        ("sockets.receive_buffer", sockets.receive_buffer),
        ("sockets.send_buffer", sockets.send_buffer),
        ("sockets.relay_receive_buffer", sockets.relay_receive_buffer),
        ("sockets.relay_send_buffer", sockets.relay_send_buffer),
    ] {
        if !(4096..=1 << 30).contains(&value) {
            found.push((key, "must lie between 4096 and 1073741824 bytes".to_owned()));
        }
    }
    if !sockets.buffers.is_power_of_two() || !(16..=8192).contains(&sockets.buffers) {
        found.push((
            "sockets.buffers",
            "must be a power of two between 16 and 8192".to_owned(),
        ));
    }
    if sockets.max_segment < 500 {
        found.push((
            "sockets.max_segment",
            "must be at least 500 bytes".to_owned(),
        ));
    }
    if sockets.busy_poll > 10_000 {
        found.push((
            "sockets.busy_poll",
            "is in microseconds and may not exceed 10000".to_owned(),
        ));
    }
    if !(1..=1024).contains(&settings.relay.ready) {
        found.push(("relay.ready", "must lie between 1 and 1024".to_owned()));
    }
}

fn media(settings: &Settings, role: Role, found: &mut Vec<(&'static str, String)>) {
    let media = &settings.media;
    if media.enabled && role == Role::Standalone {
        found.push((
            "media.enabled",
            "forebay-turnd relays only; forebay-dataplane forwards media, told by a control plane"
                .to_owned(),
        ));
    }
    if let Some(addresses) = &media.addresses {
        if addresses.is_empty() {
            found.push((
                "media.addresses",
                "names no address; leave it out for the relay addresses".to_owned(),
            ));
        }
        if addresses.len() > 16 {
            found.push(("media.addresses", "at most 16 addresses".to_owned()));
        }
        let mut seen = HashSet::new();
        for address in addresses {
            if address.is_unspecified() || address.is_multicast() {
                found.push((
                    "media.addresses",
                    format!("{address} cannot be told to clients; name a real address"),
                ));
            }
            if !seen.insert(address) {
                found.push(("media.addresses", format!("{address} stands twice")));
            }
        }
    }
    let mut mapped = HashSet::new();
    for external in &media.external {
        let known = media.addresses.as_deref().unwrap_or_default();
        if !known.contains(&external.address) {
            found.push((
                "media.external",
                format!("{} is not among media.addresses", external.address),
            ));
        }
        if external.address.is_ipv4() != external.public.is_ipv4() {
            found.push((
                "media.external",
                format!(
                    "{} and {} differ in family",
                    external.address, external.public
                ),
            ));
        }
        if external.public.is_unspecified() || external.public.is_multicast() {
            found.push((
                "media.external",
                format!("{} cannot be told to clients", external.public),
            ));
        }
        if !mapped.insert(external.address) {
            found.push((
                "media.external",
                format!("{} is mapped twice", external.address),
            ));
        }
    }
    if media.port == 0 {
        found.push(("media.port", "clients must know the port".to_owned()));
    }
    for (key, value) in [
        ("media.sessions", media.sessions),
        ("media.tracks", media.tracks),
        ("media.subscriptions", media.subscriptions),
    ] {
        if value == 0 || value > 1_000_000 {
            found.push((key, "must lie between 1 and 1000000".to_owned()));
        }
    }
    if !(1..=2048).contains(&media.cache) {
        found.push(("media.cache", "must lie between 1 and 2048 MiB".to_owned()));
    }
    for (key, value) in [
        ("media.receive_buffer", media.receive_buffer),
        ("media.send_buffer", media.send_buffer),
    ] {
        if !(4096..=1 << 30).contains(&value) {
            found.push((key, "must lie between 4096 and 1073741824 bytes".to_owned()));
        }
    }
    if !(576..=1452).contains(&media.mtu) {
        found.push((
            "media.mtu",
            "must lie between 576 and 1452 bytes".to_owned(),
        ));
    }
    for (key, value) in [
        ("media.start_bitrate", media.start_bitrate),
        ("media.max_bitrate", media.max_bitrate),
    ] {
        if !(10_000..=100_000_000_000).contains(&value) {
            found.push((key, "must lie between 10000 and 100000000000".to_owned()));
        }
    }
    if media.start_bitrate > media.max_bitrate {
        found.push((
            "media.start_bitrate",
            "exceeds media.max_bitrate".to_owned(),
        ));
    }
    if !(1..=64).contains(&media.dtls_threads) {
        found.push(("media.dtls_threads", "must lie between 1 and 64".to_owned()));
    }
}

fn times(settings: &Settings, found: &mut Vec<(&'static str, String)>) {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let lifetimes = &settings.lifetimes;
    for (key, value) in [
        ("lifetimes.allocation", lifetimes.allocation),
        ("lifetimes.allocation_max", lifetimes.allocation_max),
        ("lifetimes.permission", lifetimes.permission),
        ("lifetimes.channel", lifetimes.channel),
        ("auth.nonce_lifetime", settings.auth.nonce_lifetime),
    ] {
        if value < Duration::from_secs(1) || value > DAY {
            found.push((key, "must lie between 1s and 1day".to_owned()));
        }
    }
    if lifetimes.allocation > lifetimes.allocation_max {
        found.push((
            "lifetimes.allocation",
            "exceeds lifetimes.allocation_max".to_owned(),
        ));
    }
    if lifetimes.drain > DAY {
        found.push(("lifetimes.drain", "may not exceed 1day".to_owned()));
    }
}
