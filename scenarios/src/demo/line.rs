//! A service that speaks first, as SMTP, FTP and MySQL do: a greeting, then each line comes back.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Shared;

/// The longest line; a longer one is answered in pieces.
const MAX_LINE: u64 = 8 * 1024;

pub(super) async fn converse(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    shared.wait().await;
    write.write_all(format!("{} is ready\n", shared.name).as_bytes()).await?;
    loop {
        let mut line = Vec::new();
        if (&mut read).take(MAX_LINE).read_until(b'\n', &mut line).await? == 0 {
            return write.shutdown().await;
        }
        let said = String::from_utf8_lossy(&line);
        shared.wait().await;
        write.write_all(format!("{}: {}\n", shared.name, said.trim_end()).as_bytes()).await?;
    }
}
