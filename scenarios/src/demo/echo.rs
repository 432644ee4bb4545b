//! The service that the load speaks to: every request comes back with its id, after the service's name.

use std::io;

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Shared;
use super::frame::{Answer, Request};

pub(super) async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    while let Some(Request { id, payload }) = Request::read(&mut read).await? {
        shared.wait().await;
        write.write_all(&Answer { id, name: shared.name.clone(), payload }.to_bytes()).await?;
    }
    write.shutdown().await
}
