//! The two generations of the API, which word their errors differently.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    error::{ApiError, MoneyMoved},
    fields::FieldError,
};

/// Which generation a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `/v1/…`
    V1,
    /// Everything else.
    Modern,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Self {
        if path.starts_with("/v1/") { Self::V1 } else { Self::Modern }
    }

    pub(super) fn render(self, error: &ApiError) -> (StatusCode, Value) {
        let answer = error.answer();
        match self {
            Self::V1 => (answer.v1_status, v1(error)),
            Self::Modern => (answer.modern_status, modern(error)),
        }
    }
}

/// What is refused was never accepted, so nothing is bought for it; after a fault of ours nobody can say that. A
/// refusal may also be about an order that was accepted before: then it says what that code says.
fn money_moved(error: &ApiError) -> MoneyMoved {
    match error {
        ApiError::Unavailable(_) | ApiError::Internal(_) => MoneyMoved::Unknown,
        ApiError::Refused(refusal) => refusal.code.row().money_moved,
        ApiError::Unauthorized
        | ApiError::NotJson(_)
        | ApiError::Invalid(_)
        | ApiError::NotFound(_)
        | ApiError::Conflict(_)
        | ApiError::TooLarge(_) => MoneyMoved::No,
    }
}

fn v1(error: &ApiError) -> Value {
    let code = error.answer().v1;
    let row = code.row();
    let (message, data) = match error {
        ApiError::Invalid(faults) => {
            let data =
                json!({"validator_errors": faults.iter().map(validator_error).collect::<Vec<_>>()});
            (row.meaning.to_owned(), data)
        }
        ApiError::Refused(refusal) => (refusal.message.clone(), refusal.data.clone()),
        ApiError::NotFound(_) | ApiError::Unauthorized => (row.meaning.to_owned(), json!({})),
        ApiError::NotJson(_)
        | ApiError::Conflict(_)
        | ApiError::TooLarge(_)
        | ApiError::Unavailable(_)
        | ApiError::Internal(_) => (error.to_string(), json!({})),
    };
    json!({
        "_type": "error",
        "code": code,
        "message": message,
        "data": data,
        "retryable": row.retryable && !error.is_fault(),
        "money_moved": money_moved(error),
    })
}

fn validator_error(fault: &FieldError) -> Value {
    json!({"message": fault.message, "path": fault.dotted_path(), "value": fault.value})
}

/// Nested, as today's clients read it, and flat beside it, as older ones do; FastAPI's `detail` for faults.
fn modern(error: &ApiError) -> Value {
    let code = error.answer().modern;
    let message = error.to_string();
    let details = match error {
        ApiError::Invalid(faults) => {
            json!({"fields": faults.iter().map(validator_error).collect::<Vec<_>>()})
        }
        ApiError::Refused(refusal) => refusal.data.clone(),
        ApiError::Unauthorized
        | ApiError::NotJson(_)
        | ApiError::NotFound(_)
        | ApiError::Conflict(_)
        | ApiError::TooLarge(_)
        | ApiError::Unavailable(_)
        | ApiError::Internal(_) => Value::Null,
    };
    let detail = match error {
        ApiError::Invalid(faults) => Some(faults.iter().map(fastapi_detail).collect::<Vec<_>>()),
        ApiError::NotJson(text) => {
            Some(vec![json!({"loc": ["body"], "msg": text, "type": "json_invalid"})])
        }
        ApiError::Unauthorized
        | ApiError::Refused(_)
        | ApiError::NotFound(_)
        | ApiError::Conflict(_)
        | ApiError::TooLarge(_)
        | ApiError::Unavailable(_)
        | ApiError::Internal(_) => None,
    };
    let mut body = json!({
        "error": {"code": code, "message": message, "details": details},
        "code": code,
        "message": message,
        "details": details,
    });
    if let (Some(detail), Some(members)) = (detail, body.as_object_mut()) {
        members.insert("detail".to_owned(), detail.into());
    }
    body
}

fn fastapi_detail(fault: &FieldError) -> Value {
    json!({"loc": fault.location(), "msg": fault.message, "type": fault.kind})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_reads_as_each_generation_expects() {
        let (status, body) = Dialect::of("/v1/orders").render(&ApiError::Unauthorized);
        assert_eq!(
            (status.as_u16(), &body["_type"], &body["code"]),
            (401, &json!("error"), &json!("invalid_client_token"))
        );
        let (status, body) = Dialect::of("/managed-accounts").render(&ApiError::Unauthorized);
        assert_eq!(
            (status.as_u16(), &body["error"]["code"], &body["code"]),
            (401, &json!("unauthorized"), &json!("unauthorized"))
        );
    }

    #[test]
    fn faults_name_their_fields_in_every_form() {
        let error = ApiError::Invalid(vec![FieldError::at("email", "missing", "is required")]);
        let (status, body) = Dialect::V1.render(&error);
        assert_eq!(status.as_u16(), 400);
        assert_eq!(
            body["data"]["validator_errors"],
            json!([{"message": "is required", "path": "email", "value": null}])
        );
        let (status, body) = Dialect::Modern.render(&error);
        assert_eq!(status.as_u16(), 422);
        assert_eq!(
            body["detail"],
            json!([{"loc": ["body", "email"], "msg": "is required", "type": "missing"}])
        );
        assert_eq!(body["error"]["details"]["fields"][0]["path"], "email");
    }

    #[test]
    fn causes_never_reach_the_caller() {
        let error = ApiError::Unavailable("table orders-7 is throttled".into());
        for dialect in [Dialect::V1, Dialect::Modern] {
            assert!(!dialect.render(&error).1.to_string().contains("orders-7"));
        }
    }

    #[test]
    fn after_a_fault_nobody_says_that_nothing_was_bought() {
        let (_, body) = Dialect::V1.render(&ApiError::Unavailable("x".into()));
        assert_eq!((&body["money_moved"], &body["retryable"]), (&json!("unknown"), &json!(false)));
    }
}
