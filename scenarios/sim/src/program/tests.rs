//! What a killed program leaves behind, and what it can no longer do.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::MemoryWorld;

const LOCAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

#[tokio::test(start_paused = true)]
async fn a_killed_program_leaves_its_ports_to_the_next_and_its_files_on_the_disk() {
    let host = MemoryWorld::default().host([10, 0, 0, 1].into());
    let (first, second) = (host.program(), host.program());
    let (_udp, _tcp) = (first.bind_udp(LOCAL).unwrap(), first.listen(LOCAL).unwrap());
    first.write_file(Path::new("/state/key"), b"kept", Access::Private).unwrap();

    first.kill();

    assert!(second.bind_udp(LOCAL).is_ok() && second.listen(LOCAL).is_ok());
    assert_eq!(second.read_file(Path::new("/state/key")).unwrap(), b"kept");
    assert!(first.write_file(Path::new("/state/key"), b"too late", Access::Private).is_err());
    assert_eq!(host.file("/state/key").unwrap(), b"kept");
}

#[tokio::test(start_paused = true)]
async fn a_killed_programs_connections_end_as_a_kernel_ends_them() {
    let host = MemoryWorld::default().host([10, 0, 0, 1].into());
    let (server, client) = (host.program(), host.program());
    let mut listener = server.listen(LOCAL).unwrap();
    let mut clients = Vec::new();
    let mut held = Vec::new();
    for _ in 0..2 {
        clients.push(client.connect(LOCAL).await.unwrap());
        held.push(listener.accept().await.unwrap().0.into_stream().unwrap());
    }
    held[0].write_all(b"a part").await.unwrap();
    clients[1].write_all(b"unread").await.unwrap();

    server.kill();

    let mut part = String::new();
    clients[0].read_to_string(&mut part).await.expect("everything was read: FIN");
    assert_eq!(part, "a part");
    let unread = clients[1].read(&mut [0]).await.unwrap_err();
    assert_eq!(unread.kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.connect(LOCAL).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let hung = timeout(Duration::from_secs(60), held[0].write_all(b"from the grave")).await;
    assert!(hung.is_err(), "what is left of a killed program does nothing");
}

#[tokio::test(start_paused = true)]
async fn a_killed_programs_tasks_end_and_its_stop_is_told() {
    let program = MemoryWorld::default().host([10, 0, 0, 1].into()).program();
    let (alive, dead) = tokio::sync::oneshot::channel::<()>();
    program.tasks().run(async move {
        std::future::pending::<()>().await;
        drop(alive);
    });

    program.kill();
    program.tasks().ended().await;

    assert!(dead.await.is_err());
    assert!(program.stop().is_cancelled());
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "the shard is broken")]
async fn a_panic_in_a_task_is_passed_on() {
    let tasks = TaskHost::default();
    tasks.run(async { panic!("the shard is broken") });

    tasks.ended().await;
}

#[tokio::test(start_paused = true)]
async fn wall_time_goes_with_the_clock() {
    let program = MemoryWorld::default().host([10, 0, 0, 1].into()).program();
    let before = program.wall_now();

    tokio::time::sleep(Duration::from_secs(3600)).await;

    assert_eq!(program.wall_now() - before, Duration::from_secs(3600));
}

#[tokio::test]
async fn a_replaced_file_is_new_and_an_appended_one_grows() {
    let host = MemoryWorld::default().host([10, 0, 0, 1].into());
    let program = host.program();
    let mut log = program.append(Path::new("/log")).unwrap();

    io::Write::write_all(&mut log, b"one\n").unwrap();
    io::Write::write_all(&mut log, b"two\n").unwrap();
    program.write_file(Path::new("/ports.json"), b"first", Access::Public).unwrap();
    program.write_file(Path::new("/ports.json"), b"second", Access::Public).unwrap();

    assert_eq!(host.file("/log").unwrap(), b"one\ntwo\n");
    assert_eq!(host.file("/ports.json").unwrap(), b"second");
    assert_eq!(program.read_file(Path::new("/none")).unwrap_err().kind(), ErrorKind::NotFound);
}
