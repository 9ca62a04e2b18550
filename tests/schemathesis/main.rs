//! Runs schemathesis: requests made of `docs/openapi.yaml`, right and wrong ones, whose answers must be as it says.

use std::{path::PathBuf, process::Command};

use http::Method;
use serde_json::json;
use tests::{Api, STACK, new_client};

#[tokio::test]
async fn schemathesis_finds_nothing() {
    // Orders that name no account of their own find this one, and fail to sign in with it.
    let operator = Api::with_key(&new_client(&["--mode", "test", "--operator"]));
    let account = json!({"email": "nobody@sandbox.example", "password": "no password"});
    let account = operator.modern(Method::POST, "/managed-accounts", Some(&account)).await.ok();

    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let configuration = here.join("schemathesis");
    let status = Command::new("schemathesis")
        .arg("--config-file")
        .arg(configuration.join("schemathesis.toml"))
        .arg("run")
        .arg(here.join("../docs/openapi.yaml"))
        // What it leaves behind goes with the stack.
        .current_dir(&STACK.state)
        .env("PYTHONPATH", &configuration)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SPELTER_API_URL", &STACK.api_url)
        .env("SPELTER_CLIENT_TOKEN", new_client(&["--mode", "test"]))
        .status()
        .expect("schemathesis, which `cargo xtask test` installs");
    let path = format!("/managed-accounts/{}", account["short_id"].as_str().expect("an id"));
    operator.modern(Method::DELETE, &path, None).await;
    assert!(status.success(), "schemathesis found something");
}
