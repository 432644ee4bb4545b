//! A web service for `curl`: whatever is asked, the answer is its name and the time.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::State;
use tokio::net::TcpListener;

use super::Shared;

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let app = Router::new().fallback(answer).with_state(shared);
    // It only ends when it is dropped: axum retries failed accepts by itself.
    let _ = axum::serve(listener, app).await;
}

async fn answer(State(shared): State<Arc<Shared>>) -> String {
    shared.wait().await;
    format!("{} at {}\n", shared.name, humantime::format_rfc3339_millis(SystemTime::now()))
}
