//! What is served, and what is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use forebay_controlplane::credentials::{UserName, sign};
use support::http::{exchange, parse, request};
use support::straw::{Scene, Straw};
use support::{ControlPlane, KEY, Place, SECRET, command};

const URL: &str = "turn:turn.example.org:3478?transport=udp";

fn place() -> Place {
    let place = Place::new();
    place.configure_turn(
        &format!(
            "urls = [{URL:?}]\nregions = {{ eu = [\"turn:eu.example.org\"] }}\nttl_max = \"2h\"\nsecrets = [{{ id = \
             \"first\", file = \"turn.secret\" }}]"
        ),
        "",
    );
    place
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

#[test]
fn credentials_are_those_the_data_plane_will_compute() {
    let place = place();
    let control = ControlPlane::start(&place);
    let answer = control.credentials("{\"user\": \"ann\", \"ttl\": 60}");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    let expiry = body["expires_at"].as_u64().unwrap();
    assert!((now() + 50..=now() + 60).contains(&expiry));
    let expected = sign(SECRET.as_bytes(), &UserName::new("ann").unwrap(), expiry);
    assert_eq!(body["username"], expected.username);
    assert_eq!(body["password"], expected.password);
    assert_eq!(body["ttl"], 60);
    assert_eq!(body["uris"][0], URL);
    assert_eq!(body["iceServers"][0]["urls"][0], URL);
    assert_eq!(body["iceServers"][0]["username"], expected.username);
    assert_eq!(body["iceServers"][0]["credential"], expected.password);
}

#[test]
fn wishes_are_optional_and_bounded() {
    let place = place();
    let control = ControlPlane::start(&place);
    let plain = control.credentials("").json();
    assert_eq!(plain["ttl"], 3_600);
    assert_ne!(
        plain["username"],
        control.credentials("{}").json()["username"],
        "a name of its own"
    );
    assert_eq!(
        control.credentials("{\"ttl\": 99999999}").json()["ttl"],
        7_200,
        "capped"
    );
    assert_eq!(
        control.credentials("{\"region\": \"eu\"}").json()["uris"][0],
        "turn:eu.example.org"
    );
}

#[test]
fn every_refusal_says_why() {
    let place = place();
    let control = ControlPlane::start(&place);
    for (body, status, code) in [
        ("{", 400, "bad_request"),
        ("\0\u{1}garbage", 400, "bad_request"),
        ("[]", 422, "invalid"),
        ("{\"ttl\": 0}", 422, "invalid"),
        ("{\"ttl\": -1}", 422, "invalid"),
        ("{\"ttl\": \"long\"}", 422, "invalid"),
        ("{\"user\": \"a:b\"}", 422, "invalid"),
        ("{\"user\": \"\"}", 422, "invalid"),
        ("{\"region\": \"mars\"}", 422, "invalid"),
        ("{\"usr\": \"ann\"}", 422, "invalid"),
    ] {
        let answer = control.credentials(body);
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (status, code),
            "{body}"
        );
    }
    let large = format!("{{\"user\": \"{}\"}}", "x".repeat(5_000));
    assert_eq!(control.credentials(&large).error(), "too_large");
    let bearer = format!("Bearer {KEY}");
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        request(
            control.address,
            "POST",
            "/v1/turn/credentials",
            headers,
            body,
        )
    };
    let typed = post(
        &[("authorization", &bearer), ("content-type", "text/plain")],
        b"{}",
    );
    assert_eq!((typed.status, typed.error().as_str()), (415, "media_type"));
    let charset = [
        ("authorization", bearer.as_str()),
        ("content-type", "Application/JSON; charset=utf-8"),
    ];
    assert_eq!(post(&charset, b"{}").status, 200);
    for wrong in [
        "Bearer nobody",
        "Bearer",
        "Basic dGVzdHM6a2V5",
        "",
        "\u{e9}",
    ] {
        let answer = post(&[("authorization", wrong)], b"");
        assert_eq!(
            (answer.status, answer.error().as_str()),
            (401, "unauthorized"),
            "{wrong}"
        );
        assert!(
            answer
                .header("www-authenticate")
                .unwrap()
                .starts_with("Bearer")
        );
    }
    assert_eq!(post(&[], b"").status, 401);
    assert_eq!(
        post(
            &[("authorization", &bearer), ("authorization", &bearer)],
            b""
        )
        .status,
        401
    );
    let got = control.get("/v1/turn/credentials");
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    assert_eq!(control.get("/nothing").error(), "not_found");
    assert_eq!(control.get("/relay-check/../../etc/passwd").status, 404);
}

#[test]
fn a_body_without_an_end_is_cut_off() {
    let place = Place::new();
    place.configure("[limits]\nrequest_timeout = \"500ms\"\nburst = 1000\n");
    let control = ControlPlane::start(&place);
    let head = format!(
        "POST /v1/turn/credentials HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: \
         chunked\r\n\r\n"
    );
    let start = Instant::now();
    assert_eq!(
        parse(&exchange(control.address, head.as_bytes())).status,
        408
    );
    let mut endless = head.into_bytes();
    for _ in 0..3 {
        endless.extend_from_slice(b"800\r\n");
        endless.extend_from_slice(&[b'x'; 0x800]);
        endless.extend_from_slice(b"\r\n");
    }
    assert_eq!(parse(&exchange(control.address, &endless)).status, 413);
    // Neither a head that never ends nor silence holds a connection.
    exchange(control.address, b"GET / HTTP/1.1\r\nhost: ");
    exchange(control.address, b"");
    assert!(start.elapsed() < Duration::from_secs(20));
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        &vec![0xff; 40_000][..],
        b"GET\r\n\r\n",
    ] {
        exchange(control.address, garbage);
    }
    assert_eq!(control.get("/healthz").status, 200);
}

#[test]
fn an_address_that_asks_too_often_waits() {
    let place = Place::new();
    place.configure("[limits]\nrequests_per_second = 1\nburst = 3\n");
    let control = ControlPlane::start(&place);
    let statuses: Vec<_> = (0..6)
        .map(|_| control.credentials("{\"ttl\": 0}").status)
        .collect();
    assert_eq!(statuses[..3], [422, 422, 422]);
    assert!(statuses.contains(&429), "{statuses:?}");
    let limited = control.credentials("");
    assert!(
        limited.status == 429 || limited.status == 503,
        "{limited:?}"
    );
    assert_eq!(control.get("/healthz").status, 200, "health is not counted");
    assert!(
        control
            .metric("forebay_controlplane_http_rate_limited_total")
            .unwrap()
            >= 1.0
    );
}

#[test]
fn proxies_are_believed_when_they_are_named() {
    let place = Place::new();
    place.configure("[limits]\nrequests_per_second = 1\nburst = 2\n");
    let text = std::fs::read_to_string(place.path("controlplane.toml")).unwrap();
    let text = text.replace(
        "[listen]\n",
        "[listen]\ntrusted_proxies = [\"127.0.0.0/8\", \"10.0.0.0/8\"]\n",
    );
    place.private("controlplane.toml", &text);
    let control = ControlPlane::start(&place);
    let from = |forwarded: &str| {
        request(
            control.address,
            "POST",
            "/v1/turn/credentials",
            &[("x-forwarded-for", forwarded)],
            b"",
        )
        .status
    };
    for client in 0..20 {
        assert_eq!(
            from(&format!("198.51.100.{client}, 10.0.0.9")),
            401,
            "each client has its own budget"
        );
    }
    let same: Vec<_> = (0..4)
        .map(|i| from(&format!("192.0.2.{i}, 203.0.113.5")))
        .collect();
    assert!(
        same.contains(&429),
        "what stands before a stranger is not believed: {same:?}"
    );
}

#[test]
fn urls_come_from_the_data_plane_when_none_are_configured() {
    let place = Place::new();
    let control = ControlPlane::start(&place);
    let early = control.credentials("");
    assert_eq!((early.status, early.error().as_str()), (503, "unavailable"));
    let _straw = Straw::start(&place.socket(), Scene::default());
    control.until_ready();
    let body = control.credentials("").json();
    assert_eq!(
        body["uris"],
        serde_json::json!([
            "turn:203.0.113.7:3478?transport=udp",
            "turns:203.0.113.7:443?transport=tcp"
        ])
    );
}

#[test]
fn tls_urls_carry_the_name_of_the_certificate() {
    let place = Place::new();
    place.configure_turn(
        "tls_name = \"turn.example.org\"\nsecrets = [{ id = \"first\", file = \"turn.secret\" }]",
        "",
    );
    let control = ControlPlane::start(&place);
    let _straw = Straw::start(&place.socket(), Scene::default());
    control.until_ready();
    assert_eq!(
        control.credentials("").json()["uris"],
        serde_json::json!([
            "turn:203.0.113.7:3478?transport=udp",
            "turns:turn.example.org:443?transport=tcp"
        ])
    );
}

#[test]
fn the_page_is_served_with_its_policy() {
    let place = place();
    let control = ControlPlane::start(&place);
    let page = control.get("/");
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    let html = page.text();
    let files: Vec<_> = html
        .split('"')
        .filter(|part| part.starts_with("/relay-check/"))
        .collect();
    assert!(files.len() >= 3);
    for file in files {
        assert_eq!(control.get(file).status, 200, "{file}");
    }
    let script = control.get("/relay-check/main.js").text();
    for import in script.split('\'').filter(|part| part.starts_with("./")) {
        let answer = control.get(&import.replace("./", "/relay-check/"));
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("text/javascript; charset=utf-8"))
        );
    }
    let head = request(control.address, "HEAD", "/", &[], b"");
    assert_eq!((head.status, head.text().as_str()), (200, ""));

    let place = Place::new();
    place.configure("[relay_check]\nenabled = false\n");
    assert_eq!(ControlPlane::start(&place).get("/").status, 404);
}

#[test]
fn metrics_pass_promtool_in_both_formats() {
    let place = place();
    let control = ControlPlane::start(&place);
    control.credentials("");
    control.credentials("{");
    control.get("/nothing/{of}/\"this\"");
    let plain = control.get("/metrics");
    assert!(
        plain
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: apt install prometheus");
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(plain.text().as_bytes())
        .unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    assert!(verdict.status.success(), "{verdict:?}\n{}", plain.text());
    let open = request(
        control.address,
        "GET",
        "/metrics",
        &[(
            "accept",
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
        )],
        b"",
    );
    assert!(
        open.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    assert!(open.text().ends_with("# EOF\n"));
    assert!(
        open.text()
            .contains("# TYPE forebay_controlplane_credentials_issued counter\n")
    );
    assert!(
        plain
            .text()
            .contains("# TYPE forebay_controlplane_credentials_issued_total counter\n")
    );
    let text = plain.text();
    assert!(
        text.contains("http_requests_total{route=\"other\",status=\"404\"} 1"),
        "{text}"
    );
    assert!(!text.contains("nothing"), "no label from a request");
}

#[test]
fn metrics_may_have_an_address_of_their_own() {
    let place = Place::new();
    place.configure("[metrics]\nlisten = \"127.0.0.1:0\"\n");
    let control = ControlPlane::start(&place);
    assert_eq!(control.get("/metrics").status, 404);
    let address = control.listening("metrics server listens");
    assert_eq!(request(address, "GET", "/metrics", &[], b"").status, 200);
    assert_eq!(request(address, "GET", "/", &[], b"").status, 404);
}

#[test]
fn too_many_connections_are_refused_and_the_rest_served() {
    let place = Place::new();
    place.configure("[limits]\nconnections = 3\nburst = 100\n");
    let control = ControlPlane::start(&place);
    let idle: Vec<_> = (0..3)
        .map(|_| std::net::TcpStream::connect(control.address).unwrap())
        .collect();
    support::until("the refusal", || {
        exchange(control.address, b"GET /healthz HTTP/1.1\r\n")
            .is_empty()
            .then_some(())
    });
    drop(idle);
    support::until("room again", || {
        let answer = exchange(
            control.address,
            b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n",
        );
        answer.starts_with(b"HTTP/1.1 200").then_some(())
    });
}

#[test]
fn check_and_print_default_start_nothing() {
    let place = Place::new();
    let run = |argument: &str| command(&place).arg(argument).output().unwrap();
    let checked = run("--check");
    assert!(checked.status.success(), "{checked:?}");
    let printed = run("--print-default");
    assert!(
        String::from_utf8(printed.stdout)
            .unwrap()
            .starts_with("# Where people")
    );
    place.private("controlplane.toml", "[turn]\nrealmm = \"x\"\n");
    let refused = run("--check");
    assert!(!refused.status.success());
    assert!(
        String::from_utf8(refused.stderr)
            .unwrap()
            .contains("did you mean `turn.realm`?")
    );
}
