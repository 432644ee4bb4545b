//! Applications: a service that greets with its name and echoes, and callers of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use sinew_sim::{MemoryHost, MemoryProgram};
use sinew_transport::{AppStream, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// Where `echo` is served on each host.
pub(crate) const SERVICE: SocketAddr = local(8080);
/// Where n1 listens for callers of `echo`.
pub(crate) const LISTENER: SocketAddr = local(5001);

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Starts an instance of `echo`: a line with its name, then what it was sent until the caller ends.
pub(crate) fn serve_echo(host: &MemoryHost, name: &'static str) -> MemoryProgram {
    let program = host.program();
    let mut listener = program.listen(SERVICE).expect("the port is free");
    program.tasks().run(async move {
        let mut serving = JoinSet::new();
        while let Ok((arrival, _)) = listener.accept().await {
            let stream = arrival.into_stream().expect("it was just accepted");
            while serving.try_join_next().is_some() {}
            serving.spawn(async move { echo(stream, name).await });
        }
    });
    program
}

async fn echo(mut stream: Box<dyn AppStream>, name: &str) -> io::Result<()> {
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return stream.shutdown().await,
            Ok(len) => stream.write_all(&buffer[..len]).await?,
            Err(error) => {
                stream.abort();
                return Err(error);
            }
        }
    }
}

/// A connection to `echo` that was greeted.
#[derive(Debug)]
pub(crate) struct Caller {
    stream: Box<dyn AppStream>,
    served_by: String,
}

/// Calls `echo` through the listener of this host, and waits for the greeting.
pub(crate) async fn call(app: &MemoryProgram) -> io::Result<Caller> {
    let mut stream = app.connect(LISTENER).await?;
    let mut served_by = String::new();
    loop {
        match stream.read_u8().await? {
            b'\n' => return Ok(Caller { stream, served_by }),
            byte => served_by.push(byte.into()),
        }
    }
}

impl Caller {
    /// The node whose instance greeted.
    pub(crate) fn served_by(&self) -> &str {
        &self.served_by
    }

    /// Sends so many bytes and compares what comes back.
    pub(crate) async fn echo(&mut self, len: usize) -> io::Result<()> {
        let sent: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
        let mut got = vec![0; len];
        let (mut read, mut write) = tokio::io::split(&mut self.stream);
        tokio::try_join!(write.write_all(&sent), read.read_exact(&mut got))?;
        if got == sent { Ok(()) } else { Err(io::Error::other("other bytes came back")) }
    }

    /// Ends cleanly, and waits for the service's clean end.
    pub(crate) async fn finish(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        match self.stream.read(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("more came than was sent")),
        }
    }

    /// Waits for a byte, or the end: `None` when it is clean.
    pub(crate) async fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        Ok((self.stream.read(&mut byte).await? > 0).then_some(byte[0]))
    }
}
