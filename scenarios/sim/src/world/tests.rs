//! What quinn sees of the network: batches, delays, losses.

use std::io::IoSliceMut;

use quinn::AsyncUdpSocket;
use quinn::udp::{EcnCodepoint, RecvMeta};
use sinew_transport::Runtime;
use tokio::time::timeout;

use super::*;

const A: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 7410);
const B: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), 7410);

#[tokio::test(start_paused = true)]
async fn a_batch_arrives_as_the_datagrams_it_was_made_of() {
    let world = MemoryWorld::default();
    let (a, b) = (socket(&world, A), socket(&world, B));
    let batch: Vec<u8> = [[1; 1200].as_slice(), &[2; 1200], &[3; 100]].concat();

    a.try_send(&Transmit { segment_size: Some(1200), ecn: Some(EcnCodepoint::Ect0), ..to(B, &batch) })
        .unwrap();
    let got = receive(&*b).await;

    assert_eq!(
        got.iter().map(|(bytes, _)| bytes.clone()).collect::<Vec<_>>(),
        [vec![1; 1200], vec![2; 1200], vec![3; 100]]
    );
    for (bytes, meta) in got {
        assert_eq!((meta.addr, meta.dst_ip), (A, Some(B.ip())));
        assert_eq!((meta.len, meta.stride), (bytes.len(), bytes.len()));
        assert_eq!(meta.ecn, Some(EcnCodepoint::Ect0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_packet_takes_its_delay_and_order_is_kept() {
    let world = MemoryWorld::new(Duration::from_millis(30));
    let (a, b) = (socket(&world, A), socket(&world, B));
    let begun = Instant::now();

    a.try_send(&to(B, b"first")).unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    a.try_send(&to(B, b"second")).unwrap();
    let first = receive(&*b).await;
    let first_at = begun.elapsed();
    let second = receive(&*b).await;

    assert_eq!((first.len(), &*first[0].0, first_at), (1, &b"first"[..], Duration::from_millis(30)));
    assert_eq!((second.len(), &*second[0].0), (1, &b"second"[..]));
    assert_eq!(begun.elapsed(), Duration::from_millis(40));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_cut_off_neither_sends_nor_hears_until_mended() {
    let world = MemoryWorld::default();
    let (a, b) = (socket(&world, A), socket(&world, B));
    let cut = world.host(B.ip());

    a.try_send(&to(B, b"under way")).unwrap();
    cut.cut();
    a.try_send(&to(B, b"too late")).unwrap();
    b.try_send(&to(A, b"unheard")).unwrap();

    assert!(silent(&*b).await && silent(&*a).await);
    assert_eq!(world.traffic().cut, 3);

    cut.mend();
    a.try_send(&to(B, b"again")).unwrap();

    assert_eq!(receive(&*b).await[0].0, b"again");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_cut_off_still_hears_itself() {
    let world = MemoryWorld::default();
    let a = socket(&world, A);
    world.host(A.ip()).cut();

    a.try_send(&to(A, b"myself")).unwrap();

    assert_eq!(receive(&*a).await[0].0, b"myself");
}

#[tokio::test(start_paused = true)]
async fn a_socket_on_all_addresses_answers_from_the_one_that_fits() {
    let world = MemoryWorld::default();
    let (a, b) = (socket(&world, "0.0.0.0:7410".parse().unwrap()), socket_on(&world, B, "[::]:7410"));

    // The loopback packet of `b` reaches `b`: it means nothing elsewhere.
    b.try_send(&to("127.0.0.1:7410".parse().unwrap(), b"mine")).unwrap();
    let mine = receive(&*b).await;
    a.try_send(&to(B, b"yours")).unwrap();
    let yours = receive(&*b).await;
    b.try_send(&to(yours[0].1.addr, b"back")).unwrap();
    let back = receive(&*a).await;

    assert_eq!((&*mine[0].0, mine[0].1.addr.ip()), (&b"mine"[..], "::ffff:127.0.0.1".parse().unwrap()));
    assert_eq!(yours[0].1.addr, "[::ffff:10.0.0.1]:7410".parse().unwrap());
    assert_eq!((&*back[0].0, back[0].1.addr), (&b"back"[..], B));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_claims_and_what_no_kernel_sends_is_lost_and_counted() {
    let world = MemoryWorld::default();
    let a = socket(&world, A);
    let _b = socket(&world, B);

    a.try_send(&to(SocketAddr::new(B.ip(), 1), b"no such port")).unwrap();
    a.try_send(&to("10.9.9.9:7410".parse().unwrap(), b"no such host")).unwrap();
    a.try_send(&Transmit { segment_size: Some(8952), ..to(B, &[0; 8 * 8952]) }).unwrap();

    let expected = Traffic { unclaimed: 2, oversized: 8, ..Traffic::default() };
    assert_eq!(world.traffic(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_loses_what_its_buffer_can_not_hold() {
    let world = MemoryWorld::default();
    let (a, b) = (socket(&world, A), socket(&world, B));

    for _ in 0..1000 {
        a.try_send(&to(B, &[0; 60_000])).unwrap();
    }
    let held = world.traffic().datagrams;

    assert!((100..200).contains(&held), "8 MiB hold some 138 of them, not {held}");
    assert_eq!(world.traffic().overflowed, 1000 - held);
    let mut received = 0;
    while received < held {
        received += receive(&*b).await.len() as u64;
    }
    a.try_send(&to(B, b"room again")).unwrap();
    assert_eq!(receive(&*b).await[0].0, b"room again");
}

#[tokio::test]
async fn an_address_is_bound_once_and_only_where_it_is_local() {
    let program = MemoryWorld::default().host(A.ip()).program();
    let kind = |address: &str| program.bind_udp(address.parse().unwrap()).map_err(|e| e.kind());
    let first = program.bind_udp(A).unwrap();

    assert_eq!(kind("10.0.0.1:7410").unwrap_err(), std::io::ErrorKind::AddrInUse);
    assert_eq!(kind("0.0.0.0:7410").unwrap_err(), std::io::ErrorKind::AddrInUse);
    assert_eq!(kind("10.0.0.2:7410").unwrap_err(), std::io::ErrorKind::AddrNotAvailable);
    let (one, other) = (kind("10.0.0.1:0").unwrap(), kind("10.0.0.1:0").unwrap());
    assert_ne!(one.local_addr().unwrap(), other.local_addr().unwrap());
    drop(first);
    assert!(kind("0.0.0.0:7410").is_ok(), "free again");
}

fn socket(world: &MemoryWorld, address: SocketAddr) -> Arc<dyn AsyncUdpSocket> {
    let ip = if address.ip().is_unspecified() { A.ip() } else { address.ip() };
    world.host(ip).program().bind_udp(address).unwrap()
}

fn socket_on(world: &MemoryWorld, host: SocketAddr, address: &str) -> Arc<dyn AsyncUdpSocket> {
    world.host(host.ip()).program().bind_udp(address.parse().unwrap()).unwrap()
}

fn to(destination: SocketAddr, contents: &[u8]) -> Transmit<'_> {
    Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None }
}

/// What has arrived, as soon as something has.
async fn receive(socket: &dyn AsyncUdpSocket) -> Vec<(Vec<u8>, RecvMeta)> {
    let mut bytes = vec![vec![0; 65_535]; 8];
    let mut meta = [RecvMeta::default(); 8];
    let count = std::future::poll_fn(|cx| {
        let mut buffers: Vec<_> = bytes.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
        socket.poll_recv(cx, &mut buffers, &mut meta)
    });
    let count = count.await.unwrap();
    bytes.into_iter().zip(meta).take(count).map(|(bytes, meta)| (bytes[..meta.len].to_vec(), meta)).collect()
}

/// Whether nothing arrives for longer than any packet is on its way.
async fn silent(socket: &dyn AsyncUdpSocket) -> bool {
    timeout(Duration::from_secs(1), receive(socket)).await.is_err()
}
