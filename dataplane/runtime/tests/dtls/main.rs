//! DTLS handshakes with other implementations, over lossy paths, and under
//! attack.

mod attacks;
mod handshakes;
mod others;
mod peer;
mod service;
