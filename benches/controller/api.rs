//! The controller's HTTP API: calls with the operator's token, and metrics. Whatever is wrong panics with the answer.

use serde_json::Value;

use crate::support::{Mesh, http_call, http_get};

/// The API of one controller.
pub(crate) struct Api {
    address: std::net::SocketAddr,
    admin: String,
}

impl Api {
    pub(crate) fn of(mesh: &Mesh) -> Self {
        let admin = std::fs::read_to_string(mesh.controller_state().join("admin.token")).unwrap();
        Self { address: mesh.api_address(), admin: admin.trim().to_owned() }
    }

    /// The JSON of an answer of 200 or 201.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = http_call(method, self.address, path, Some(&self.admin), &body.to_string()).await;
        let (code, text) = answer.unwrap();
        assert!((200..300).contains(&code), "{method} {path}: {code} {text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The sum of a metric's series.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let (_, text) = http_get(self.address, "/metrics", None).await.unwrap();
        let series = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    }
}
