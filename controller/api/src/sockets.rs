//! Which addresses of sockets exclude each other.

use std::net::SocketAddr;

/// Whether two TCP sockets can't both listen, or one reaches the other: the same port, not "any", and the same
/// IP, or one that stands for all of its family.
#[must_use]
pub fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    // Linux binds [::] to IPv4 as well, unless told otherwise.
    let covers = |any: &SocketAddr| any.ip().is_unspecified() && (same_family || any.is_ipv6());
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || covers(one) || covers(other))
}

/// Whether somebody can dial it: it has a port, and stands for one place.
#[must_use]
pub fn is_dialable(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}
