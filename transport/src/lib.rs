//! Authenticated QUIC connections and streams between nodes.
