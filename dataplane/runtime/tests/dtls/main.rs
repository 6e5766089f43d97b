//! DTLS handshakes with other implementations, over lossy paths, and under
//! attack.

mod attacks;
mod handshakes;
mod peer;
mod service;
