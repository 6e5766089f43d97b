//! Who may allocate.

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::work::{At, Work};
use super::{SecretText, USERS};

/// The name of the first secret's file; further ones are numbered.
const SECRET: &str = "turn.secret";
/// Below this many bytes a secret is worth a word.
const SHORT: usize = 16;

pub(super) fn translate(work: &mut Work<'_>) -> Vec<SecretText> {
    realm(work);
    let mut files = secrets(work);
    let rest = !files.is_empty() || work.last("use-auth-secret").is_some();
    let users = users(work, rest);
    let has_users = users.is_some();
    files.extend(users);
    who(work, rest, has_users);
    details(work);
    files
}

fn realm(work: &mut Work<'_>) {
    let Some(line) = work.last("realm") else {
        work.differs(
            "There is no realm= line: coturn takes the host's domain then, and here the realm is \"forebay\". REST credentials are good in any realm; clients that know the realm need it set.",
        );
        return;
    };
    let value = work.value(line).to_owned();
    if value.is_empty() || value.len() > 127 {
        work.refuse(line, "A realm has 1 to 127 bytes.", "write the domain.");
    } else if value.contains(['"', '\\']) || value.contains(" #") {
        work.refuse(
            line,
            "A realm has no quotes, backslashes and comments; coturn takes all of the line as the realm.",
            "write the domain alone.",
        );
    } else {
        work.set(&[line], "realm", value);
    }
}

fn secrets(work: &mut Work<'_>) -> Vec<SecretText> {
    let mut files: Vec<SecretText> = Vec::new();
    let mut tables = Vec::new();
    let mut lines: Vec<At> = Vec::new();
    for line in work.all("static-auth-secret") {
        let secret = Zeroizing::new(work.value(line).to_owned());
        if secret.trim().is_empty() || secret.trim() != secret.as_str() {
            work.refuse(
                line,
                "The secret is empty, or begins or ends with a blank.",
                "make one with `openssl rand -hex 32`, here and where credentials are made.",
            );
            continue;
        }
        if files.iter().any(|file| file.text.trim() == secret.as_str()) {
            work.unneeded(line, "The secret stands twice.");
            continue;
        }
        if secret.len() < SHORT {
            work.note(
                line,
                "A short secret can be guessed from one credential; make another with `openssl rand -hex 32`. Several may be valid while it is exchanged.",
            );
        }
        let number = files.len() + 1;
        let name = if number == 1 {
            SECRET.to_owned()
        } else {
            format!("turn-{number}.secret")
        };
        let mut table = toml::Table::new();
        table.insert("id".to_owned(), format!("coturn-{number}").into());
        table.insert("file".to_owned(), name.clone().into());
        tables.push(toml::Value::Table(table));
        files.push(SecretText {
            name,
            text: Zeroizing::new(format!("{}\n", secret.as_str())),
        });
        lines.push(line);
    }
    if !tables.is_empty() {
        work.set(&lines, "auth.secrets", toml::Value::Array(tables));
    }
    files
}

fn users(work: &mut Work<'_>, rest: bool) -> Option<SecretText> {
    let lines = work.all("user");
    if rest {
        for line in lines {
            work.unneeded(
                line,
                "coturn lets no static user in while REST secrets are in use. Both work together here: to let this user in, write name:password into a file and name it in auth.users_file.",
            );
        }
        return None;
    }
    // The last line of a name counts, to coturn as well.
    let mut last: HashMap<String, At> = HashMap::new();
    let mut good = Vec::new();
    for line in lines {
        let entry = Zeroizing::new(work.value(line).to_owned());
        let Some((name, password)) = entry.split_once(':') else {
            work.refuse(
                line,
                "The line has no colon between name and password.",
                "write user=NAME:PASSWORD.",
            );
            continue;
        };
        let password = password.trim_start();
        if name.is_empty() || password.is_empty() || name.len() > 508 || name.starts_with('#') {
            work.refuse(
                line,
                "Name and password must not be empty, nor the name begin with # or exceed 508 bytes.",
                "write user=NAME:PASSWORD.",
            );
        } else if password.starts_with("0x") {
            work.refuse(
                line,
                "The password is given as a key, from which it cannot be told; other algorithms (SHA-256) need the password itself.",
                "write user=NAME:PASSWORD with the password the client has.",
            );
        } else {
            if let Some(earlier) = last.insert(name.to_owned(), line) {
                let number = work.number(line);
                work.unneeded(
                    earlier,
                    &format!("Line {number} gives this user another password and counts."),
                );
                good.retain(|(at, _)| *at != earlier);
            }
            good.push((line, Zeroizing::new(format!("{name}:{password}\n"))));
        }
    }
    if good.is_empty() {
        return None;
    }
    let lines: Vec<At> = good.iter().map(|(line, _)| *line).collect();
    work.set(&lines, "auth.users_file", USERS);
    let length = good.iter().map(|(_, text)| text.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for (_, line) in &good {
        text.push_str(line);
    }
    Some(SecretText {
        name: USERS.to_owned(),
        text,
    })
}

/// Without authentication coturn is an open relay.
fn who(work: &mut Work<'_>, rest: bool, has_users: bool) {
    const FIX: &str = "make a secret with `openssl rand -hex 32`, write use-auth-secret and static-auth-secret=SECRET, and let the web server make credentials from it (`forebay creds` shows how); or write user=NAME:PASSWORD lines.";
    let has_secrets = !work.all("static-auth-secret").is_empty();
    if let Some(line) = work.on("no-auth") {
        work.refuse(
            line,
            "Anyone could relay traffic through this host: an open relay, found and abused within hours.",
            FIX,
        );
    }
    if let Some((line, on)) = work.switch("lt-cred-mech") {
        if on {
            work.unneeded(line, "Credentials are always required.");
        } else {
            work.unneeded(
                line,
                "Credentials are always required; switching them off has no counterpart.",
            );
        }
    }
    if let Some(line) = work.last("use-auth-secret") {
        if has_secrets {
            work.unneeded(line, "auth.secrets switches REST credentials on.");
        } else {
            work.refuse(
                line,
                "No static-auth-secret= line gives the secret, so it is in coturn's database, which is not read.",
                "show it with `turnadmin -S -r REALM`, and write it as static-auth-secret=SECRET.",
            );
        }
    }
    if rest || has_users || !work.all("no-auth").is_empty() {
        return;
    }
    work.refuse_file(
        "Nothing in the file says who may allocate: no REST secret and no user that can be taken over. Without them coturn asks its database, and where that is empty serves anyone as an open relay.",
        FIX,
    );
}

fn details(work: &mut Work<'_>) {
    if let Some(line) = work.last("stale-nonce") {
        const DAY: u64 = 24 * 3600;
        let seconds = if work.value(line).is_empty() {
            Some(600)
        } else {
            work.parse_at::<u64>(line, "a number of seconds")
        };
        if let Some(seconds) = seconds {
            let taken = if seconds == 0 { DAY } else { seconds.min(DAY) };
            if taken != seconds {
                work.note(line, "A nonce is good for a day at most.");
            }
            work.set(&[line], "auth.nonce_lifetime", format!("{taken}s"));
        }
    }
    if let Some(line) = work.on("fingerprint") {
        work.set(&[line], "auth.fingerprint", true);
    }
    for (key, hides) in [
        ("no-software-attribute", true),
        ("prod", true),
        ("software-attribute", false),
    ] {
        let Some((line, on)) = work.switch(key) else {
            continue;
        };
        if on == hides {
            work.set(&[line], "auth.software", "");
        } else {
            work.unneeded(line, "auth.software is told to clients unless it is empty.");
        }
    }
    if let Some(line) = work.last("rest-api-separator") {
        if work.value(line).starts_with(':') {
            work.unneeded(line, "A colon is what separates expiry and user.");
        } else {
            work.refuse(
                line,
                "REST usernames are read as expiry:user alone.",
                "let the web server put a colon between expiry and user; remove the line.",
            );
        }
    }
    if let Some(line) = work.last("stateless-nonce-secret") {
        work.unneeded(
            line,
            "A client answered by another server of a fleet takes a new nonce and goes on, at the cost of one round trip.",
        );
    }
    quota(work, "user-quota", "auth.allocations_per_user");
    quota(work, "total-quota", "limits.allocations");
}

fn quota(work: &mut Work<'_>, name: &str, key: &'static str) {
    let Some((line, number)) = work.parsed::<u32>(name, "a number of allocations") else {
        return;
    };
    match number {
        0 => work.unneeded(line, "0 is no limit, to coturn as well."),
        1..=16_000_000 => work.set(&[line], key, i64::from(number)),
        _ => work.refuse(
            line,
            "The number exceeds 16000000.",
            "write a number this host can serve, or remove the line.",
        ),
    }
}
