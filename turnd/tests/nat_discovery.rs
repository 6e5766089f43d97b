//! NAT behaviour discovery (RFC 5780) with coturn's client, which says what it
//! found out.

mod server;

use std::process::Command;

use server::{Server, Setup, installed};

/// Discovery on the address of the test and on one beside it.
fn with_discovery() -> Setup {
    let setup = Setup::new();
    let [a, b, c, d] = setup.address.octets();
    let alternate = format!("{a}.{b}.{c}.{}", d.wrapping_add(100));
    let config = format!(
        "{}[nat_discovery]\nalternate = [\"{alternate}\"]\nport = {}\n",
        setup.config(),
        server::free_port()
    );
    setup.write("turnd.toml", &config, 0o644);
    setup
}

fn discovers(server: &Server, arguments: &[&str]) -> String {
    let output = installed(
        Command::new("timeout")
            .args(["60", "turnutils_natdiscovery"])
            .args(arguments)
            .args(["-p", &server.setup.port.to_string()])
            .arg(server.setup.address.to_string())
            .output(),
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn mapping_and_filtering_are_found_out() {
    let server = with_discovery().start();
    let mapping = discovers(&server, &["-m"]);
    assert!(
        mapping.contains("NAT with Endpoint Independent Mapping!"),
        "{mapping}\n{}",
        server.log()
    );
    assert!(
        mapping.contains("No ALG: Mapped == XOR-Mapped"),
        "{mapping}"
    );
    let filtering = discovers(&server, &["-f"]);
    assert!(
        filtering.contains("NAT with Endpoint Independent Filtering!"),
        "{filtering}\n{}",
        server.log()
    );
}

/// The second answer is sent to the port of the first socket.
#[test]
fn a_mapping_s_lifetime_is_found_out() {
    let server = with_discovery().start();
    let text = discovers(&server, &["-t", "-T", "1"]);
    assert!(text.contains("RFC 5780 response 2"), "{text}");
}

#[test]
fn it_is_off_by_default() {
    let server = Setup::new().start();
    let text = discovers(&server, &["-m"]);
    assert!(!text.contains("Endpoint Independent Mapping"), "{text}");
    assert!(!text.contains("Other addr"), "{text}");
}
