//! KMS: a secret opens only with the context it was sealed with. What is sealed is not readable, but no more than that.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Answer;

/// Does `operation`.
pub fn answer(operation: &str, body: &[u8]) -> Answer {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    match operation {
        "Encrypt" => {
            let sealed = json!([
                request["EncryptionContext"],
                BASE64_STANDARD.encode(turned(&bytes(&request["Plaintext"])))
            ]);
            let blob = BASE64_STANDARD.encode(sealed.to_string());
            Answer::ok(json!({"CiphertextBlob": blob, "KeyId": "model"}).to_string())
        }
        "Decrypt" => {
            let sealed: Value =
                serde_json::from_slice(&bytes(&request["CiphertextBlob"])).unwrap_or_default();
            if sealed[0] != request["EncryptionContext"] {
                return Answer::error(400, "InvalidCiphertextException", "another context");
            }
            let plain = BASE64_STANDARD.encode(turned(&bytes(&sealed[1])));
            Answer::ok(json!({"Plaintext": plain, "KeyId": "model"}).to_string())
        }
        "GenerateMac" => {
            let mac = BASE64_STANDARD.encode(Sha256::digest(bytes(&request["Message"])));
            Answer::ok(json!({"Mac": mac, "KeyId": "model"}).to_string())
        }
        other => Answer::error(400, "UnknownOperationException", other),
    }
}

/// Each bit turned round; twice is as before.
fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).expect("base64")
}
