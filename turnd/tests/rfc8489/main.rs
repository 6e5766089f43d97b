//! A client of RFC 8489 that is not ours, `turn-client-proto`, through the
//! running server: SHA-256, hashed usernames, and what it refuses.

mod client;
mod expiry;
#[path = "../server/mod.rs"]
mod server;

use client::{Client, Seen};
use server::{PEER, Peer, SECRET, Setup, USER};

use turn_client_proto::stun::auth::Feature;
use turn_client_proto::stun::types::message::IntegrityAlgorithm;

/// Static users alone, whose names can be found by their hashes.
fn users_alone() -> Setup {
    let setup = Setup::new();
    let secrets = "secrets = [{ id = \"a\", file = \"turn.secret\" }]\n";
    let config = setup.config();
    assert!(config.contains(secrets));
    setup.write("turnd.toml", &config.replace(secrets, ""), 0o644);
    setup
}

#[test]
fn sha256_and_userhash_relay_data() {
    let server = users_alone().start();
    let peer = Peer::start(PEER);
    let mut client = Client::new(&server, USER, |config| {
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
        config.set_anonymous_username(Feature::Required);
    });
    client.allocate().expect("allocated");
    client.permit(PEER).expect("permitted");
    assert_eq!(client.echo(&peer, b"by indication"), b"by indication");
    client.bind(&peer).expect("bound");
    assert_eq!(client.echo(&peer, b"by channel"), b"by channel");
    client.delete();
    let Seen {
        named,
        hashed,
        sha1,
        sha256,
    } = client.seen;
    assert!(hashed >= 4 && named == 0, "{hashed} hashed, {named} named");
    assert!(sha256 >= 8 && sha1 == 0, "{sha256} SHA-256, {sha1} SHA-1");
    assert!(server::wait_for(
        || server.metric("forebay_allocations") == 0.0
    ));
}

#[test]
fn sha256_with_rest_credentials_sends_the_username() {
    let server = Setup::new().start();
    let peer = Peer::start(PEER);
    let (username, password) = client::rest(SECRET, "bob", 600);
    let mut client = Client::new(&server, (&username, &password), |config| {
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    });
    client.allocate().expect("allocated");
    client.permit(PEER).expect("permitted");
    assert_eq!(client.echo(&peer, b"hello"), b"hello");
    let seen = &client.seen;
    assert!(seen.named >= 2 && seen.hashed == 0);
    assert!(seen.sha256 >= 4 && seen.sha1 == 0);
}

/// It may use either and takes the first on the server's list.
#[test]
fn the_server_s_preference_decides() {
    for (preferred, sha256) in [
        ("\"sha256\", \"md5\"", true),
        ("\"md5\", \"sha256\"", false),
    ] {
        let setup = users_alone();
        let config = setup.config().replace(
            "users_file",
            &format!("algorithms = [{preferred}]\nusers_file"),
        );
        setup.write("turnd.toml", &config, 0o644);
        let server = setup.start();
        let mut client = Client::new(&server, USER, |config| {
            config.add_supported_integrity(IntegrityAlgorithm::Sha256);
        });
        client.allocate().expect("allocated");
        assert_eq!(client.seen.sha256 > 0, sha256);
        assert_eq!(client.seen.sha1 > 0, !sha256);
    }
}

#[test]
fn a_client_that_insists_goes_without_on_a_server_of_rfc_5389() {
    let setup = users_alone();
    let config = setup
        .config()
        .replace("users_file", "algorithms = [\"md5\"]\nusers_file");
    setup.write("turnd.toml", &config, 0o644);
    let server = setup.start();
    let mut insists = Client::new(&server, USER, |config| {
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    });
    assert!(insists.allocate().is_err());
    let mut client = Client::new(&server, USER, |_| {});
    client.allocate().expect("allocated");
    assert!(client.seen.sha256 == 0 && client.seen.sha1 > 0);
}

#[test]
fn a_wrong_password_is_counted_as_one() {
    let server = Setup::new().start();
    let mut client = Client::new(&server, (USER.0, "perch"), |config| {
        config.set_supported_integrity(IntegrityAlgorithm::Sha256);
    });
    assert!(client.allocate().is_err());
    assert!(client::failures(&server, "wrong_credentials") >= 1.0);
    assert_eq!(client::failures(&server, "expired"), 0.0);
}
