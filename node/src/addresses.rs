//! Where peers reach this node: each of its addresses, with the port of every shard.
//!
//! Peers dial them in this order and use what answers, so that an address that some of them can't reach costs those
//! a moment and nobody the link.

use std::net::{IpAddr, SocketAddr};

use sinew_api::control::ADDRESSES_MAX;

/// What peers are told to dial: every shard at each of the configured addresses, or what was bound. An unspecified
/// address is replaced by the controller with the one that the session comes from.
pub(crate) fn advertised(advertise: &[IpAddr], data: &[SocketAddr]) -> Vec<SocketAddr> {
    if advertise.is_empty() {
        return data.to_vec();
    }
    let room = (ADDRESSES_MAX / data.len().max(1)).max(1);
    if room < advertise.len() {
        tracing::warn!(left_out = ?advertise[room..], "so many shards have no room for so many addresses");
    }
    let at = |ip: &IpAddr| data.iter().map(|bound| SocketAddr::new(*ip, bound.port())).collect::<Vec<_>>();
    advertise.iter().take(room).flat_map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    #[test]
    fn every_shard_is_reached_at_every_address() {
        let bound = sockets(&["0.0.0.0:7410", "0.0.0.0:7411"]);
        let advertise = ["fd00::1", "10.0.0.5"].map(|ip| ip.parse().expect("an address"));

        let told = advertised(&advertise, &bound);

        assert_eq!(told, sockets(&["[fd00::1]:7410", "[fd00::1]:7411", "10.0.0.5:7410", "10.0.0.5:7411"]));
        assert_eq!(advertised(&[], &bound), bound);
    }

    #[test]
    fn with_many_shards_the_first_addresses_are_told() {
        let bound: Vec<_> = (0..40).map(|shard| SocketAddr::from(([0, 0, 0, 0], 7410 + shard))).collect();
        let advertise = ["10.0.0.5", "10.0.0.6"].map(|ip| ip.parse().expect("an address"));

        let told = advertised(&advertise, &bound);

        assert_eq!(told.len(), 40);
        assert!(told.iter().all(|address| address.ip() == advertise[0]), "{told:?}");
    }
}
