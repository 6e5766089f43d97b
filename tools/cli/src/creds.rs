//! `forebay creds`: the credential a web server would hand to a browser, for
//! trying a server by hand.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;
use zeroize::Zeroizing;

/// The longest secret file that is read.
const LONGEST: u64 = 64 << 10;

/// Make a TURN REST credential: the username carries its own expiry, the
/// password is base64(HMAC-SHA1(secret, username)).
///
/// forebay creds --secret-file turn.secret --host turn.example.org
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Arguments {
    /// The file that holds the secret; the same as in [auth] secrets.
    #[arg(short, long, value_name = "FILE")]
    secret_file: PathBuf,
    /// Whom the credential is for; shows up in logs.
    #[arg(short, long, default_value = "forebay")]
    user: String,
    /// How long it is good, for example 10m, 1h or 1day.
    #[arg(short, long, default_value = "1h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// Host name or address of the server, with its port when that is not
    /// 3478; repeatable.
    #[arg(long, value_name = "HOST[:PORT]", default_value = "127.0.0.1")]
    host: Vec<String>,
    /// Print JSON, shaped like the control plane's answer.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), String> {
    if arguments.user.is_empty()
        || arguments.user.len() > 400
        || arguments.user.chars().any(char::is_control)
    {
        return Err("--user must have 1 to 400 bytes and no control characters".to_owned());
    }
    let secret = read_secret(&arguments.secret_file)?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_err(|_| "the clock is before 1970")?;
    let expires_at = now.as_secs().saturating_add(arguments.ttl.as_secs());
    let username = format!("{expires_at}:{}", arguments.user);
    let password = password(secret.trim_ascii(), &username)?;
    let urls: Vec<String> = arguments.host.iter().map(|host| url(host)).collect();
    if arguments.json {
        let credential = json!({
            "username": username,
            "password": password,
            "ttl": arguments.ttl.as_secs(),
            "expires_at": expires_at,
            "uris": urls,
            "iceServers": [{ "urls": urls, "username": username, "credential": password }],
        });
        println!("{credential}");
    } else {
        println!("username  {username}");
        println!("password  {password}");
        println!(
            "expires   in {}",
            humantime::format_duration(Duration::from_secs(arguments.ttl.as_secs()))
        );
        for url in urls {
            println!("url       {url}");
        }
    }
    Ok(())
}

/// The password of a TURN REST username.
pub(crate) fn password(secret: &[u8], username: &str) -> Result<String, String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).map_err(|error| error.to_string())?;
    mac.update(username.as_bytes());
    Ok(STANDARD.encode(mac.finalize().into_bytes()))
}

/// RFC 7065: an IPv6 address stands in brackets.
fn url(host: &str) -> String {
    let bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    let host = if bare_v6 {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port {
        format!("turn:{host}?transport=udp")
    } else {
        format!("turn:{host}:3478?transport=udp")
    }
}

/// A file that not everyone may read, as it is.
pub(crate) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("{shown}: {error}"))?;
    let metadata = file
        .metadata()
        .map_err(|error| format!("{shown}: {error}"))?;
    if metadata.mode() & 0o007 != 0 {
        return Err(format!(
            "{shown}: readable by everyone on this host; run `chmod 600 {shown}`"
        ));
    }
    let mut secret = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len().min(LONGEST)).unwrap_or(0) + 1,
    ));
    file.take(LONGEST)
        .read_to_end(&mut secret)
        .map_err(|error| format!("{shown}: {error}"))?;
    if secret.trim_ascii().is_empty() {
        return Err(format!("{shown}: holds no secret"));
    }
    Ok(secret)
}
