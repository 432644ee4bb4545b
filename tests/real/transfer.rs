//! A GiB through the mesh, checked by hash, with a half-close: whichever side ends first, the other still has
//! its say.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::{Service, digest_of_stream, send_bytes};
use crate::{mesh_of, turn};

const GIB: u64 = 1024 * 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a GiB, and as much to hash: run by .ci/run in release"]
async fn a_gib_up_is_answered_after_the_caller_has_ended_its_side() {
    let _turn = turn().await;
    let hasher = Service::hasher().await;
    let mesh = mesh_of("store", &[hasher.address()]).await;

    let mut app = TcpStream::connect(mesh.listener("caller", "store")).await.unwrap();
    let digest = send_bytes(&mut app, GIB, 1).await.unwrap();
    app.shutdown().await.unwrap();
    let mut answer = String::new();
    app.read_to_string(&mut answer).await.unwrap();

    assert_eq!(answer, format!("{GIB} {digest}\n"));
    let records = mesh.records_when("caller", |records| records.len() == 1).await;
    assert_eq!((records[0].outcome.as_str(), records[0].bytes_up), ("ok", GIB));
    assert_eq!(records[0].bytes_down, answer.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a GiB, and as much to hash: run by .ci/run in release"]
async fn a_gib_down_is_answered_after_the_service_has_ended_its_side() {
    let _turn = turn().await;
    let (answered, mut answers) = mpsc::unbounded_channel();
    let source =
        Service::source(GIB, 2, move |answer| answered.send(answer).expect("the test listens")).await;
    let mesh = mesh_of("store", &[source.address()]).await;

    let mut app = TcpStream::connect(mesh.listener("caller", "store")).await.unwrap();
    let (len, digest) = digest_of_stream(&mut app).await.unwrap();
    app.write_all(format!("{len} {digest}\n").as_bytes()).await.unwrap();
    app.shutdown().await.unwrap();

    let expected = send_bytes(&mut tokio::io::sink(), GIB, 2).await.unwrap();
    assert_eq!(answers.recv().await.unwrap(), format!("{GIB} {expected}\n"));
    let records = mesh.records_when("caller", |records| records.len() == 1).await;
    assert_eq!((records[0].outcome.as_str(), records[0].bytes_down), ("ok", GIB));
}
