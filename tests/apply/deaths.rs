//! A controller that is killed while it is given one declaration after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use sinew_api::apply::{Applied, Apply, Document, History, ResourceList};
use sinew_api::resource::ResourceKey;
use sinew_transport_core::ids::Revision;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::{Mesh, http_call};

/// The moments, unless `SINEW_TEST_SEED` says others.
const SEED: u64 = 3;

/// A controller dies within this after it was ready: some tens of declarations fit.
const WINDOW: Duration = Duration::from_millis(80);

/// Who declare at the same time.
const AUTHORS: u64 = 3;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_the_controller_was_killed() {
    kill_controllers(8).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute; run by .ci/run"]
async fn every_acknowledged_revision_is_there_after_100_deaths() {
    kill_controllers(100).await;
}

async fn kill_controllers(deaths: u64) {
    let asked = std::env::var("SINEW_TEST_SEED").ok();
    let seed = asked.map_or(SEED, |text| text.parse().expect("SINEW_TEST_SEED is a number"));
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut mesh = Mesh::start().await;
    let mut acknowledged = BTreeMap::new();
    let mut interrupted = 0;

    for death in 0..deaths {
        let mut authors = JoinSet::new();
        for author in 0..AUTHORS {
            authors.spawn(declare(Api::of(&mesh), format!("death-{death}-{author}")));
        }
        sleep(WINDOW.mul_f64(rng.f64())).await;
        mesh.kill_controller().await;
        while let Some(ended) = authors.join_next().await {
            // Each author had one more on its way when the controller died.
            acknowledged.extend(ended.unwrap());
            interrupted += 1;
        }
        mesh.start_controller().await;

        let context = format!("death {death} of seed {seed}");
        let api = Api::of(&mesh);
        let list: ResourceList = api.get("/v1/resources").await;
        let history: History = api.get("/v1/history").await;
        let made: BTreeMap<_, _> = history.changes.iter().map(|past| (past.revision, past)).collect();
        for (name, revision) in &acknowledged {
            let key: ResourceKey = format!("service/{name}").parse().unwrap();
            assert!(list.resources.contains(&key), "{key} is gone; {context}");
            // The history keeps the newest thousand.
            let forgotten =
                made.len() >= 1000 && made.first_key_value().is_some_and(|(oldest, _)| revision < oldest);
            assert!(
                forgotten || made[revision].change.created.contains(&key),
                "{revision}: {key}; {context}"
            );
        }
        assert_eq!(made.len(), history.changes.len(), "a revision was used twice; {context}");
    }
    println!("{} declarations acknowledged, {interrupted} interrupted", acknowledged.len());
    assert!(acknowledged.len() as u64 >= deaths, "nothing was proven");
}

/// Declares one service after the other, until nobody answers: what was acknowledged.
async fn declare(api: Api, prefix: String) -> Vec<(String, Revision)> {
    let mut made = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let document = Document { name: "here".into(), text: format!("[[service]]\nname = \"{name}\"\n") };
        let apply = Apply { documents: vec![document], prune: false, dry_run: false, message: name.clone() };
        let body = serde_json::to_string(&apply).unwrap();
        match http_call("POST", api.address, "/v1/apply", Some(&api.token), &body).await {
            Ok((200, answer)) => {
                let Ok(applied) = serde_json::from_str::<Applied>(&answer) else { break };
                made.push((name, applied.revision));
            }
            Ok((code, answer)) => panic!("{code}: {answer}"),
            Err(_) => break,
        }
    }
    made
}

struct Api {
    address: std::net::SocketAddr,
    token: String,
}

impl Api {
    fn of(mesh: &Mesh) -> Self {
        let token = std::fs::read_to_string(mesh.controller_state().join("admin.token")).unwrap();
        Self { address: mesh.api_address(), token: token.trim().to_owned() }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let (code, body) = http_call("GET", self.address, path, Some(&self.token), "").await.unwrap();
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}
