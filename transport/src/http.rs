//! HTTP on a listener of the [`Runtime`](crate::Runtime): the admin pages of nodes and the controller's API.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use crate::runtime::{AppListener, AppStream};

/// A listener that can't accept (out of descriptors) tries again after this, instead of spinning.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener for [`axum::serve`].
#[derive(Debug)]
pub struct HttpListener(pub Box<dyn AppListener>);

impl axum::serve::Listener for HttpListener {
    type Io = Box<dyn AppStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.0.accept().await.and_then(|(app, from)| Ok((app.into_stream()?, from))) {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "can't accept an HTTP connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}
