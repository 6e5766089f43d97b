//! What `forebay-turnd` does besides serving.

pub mod import_coturn;
