//! A process without descriptors sheds those who connect, instead of letting them wait. Alone in its program: the limit
//! is the whole process's.
#![allow(clippy::disallowed_methods, reason = "stories in the real world")]

use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sinew_transport::{OsRuntime, Runtime};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// Far more than nothing takes.
const SOON: Duration = Duration::from_secs(10);

/// The system's word for no descriptors (EMFILE).
const NO_DESCRIPTORS: i32 = 24;

#[tokio::test]
async fn without_descriptors_who_connects_is_reset_and_later_ones_are_taken() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, 64, hard).expect("lower than before");
    let mut listener = OsRuntime.listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("bound");
    // Those who connect have theirs from us, too: made before the last one is gone.
    let mut apps = (0..3).map(|_| socket(address)).collect::<Vec<_>>();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    assert_eq!(OsRuntime.descriptors_max(), Some(64));

    for app in &mut apps {
        let error =
            timeout(SOON, listener.accept()).await.expect("somebody waits").expect_err("no descriptor");
        assert_eq!(error.raw_os_error(), Some(NO_DESCRIPTORS));
        assert!(listener.shed());
        let read = timeout(SOON, app.read(&mut [0])).await.expect("an end").expect_err("no clean end");
        assert_eq!(read.kind(), ErrorKind::ConnectionReset);
    }
    assert!(!listener.shed(), "nobody waits");
    drop(files);

    let _later = TcpStream::connect(address).expect("it listens");
    timeout(SOON, listener.accept()).await.expect("somebody waits").expect("taken");
}

/// A connection that waits to be accepted.
fn socket(address: std::net::SocketAddr) -> tokio::net::TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_nonblocking(true).expect("a socket");
    tokio::net::TcpStream::from_std(stream).expect("a runtime")
}
