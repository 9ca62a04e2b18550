//! The handlers of all Lambda functions: one file per endpoint or step.
//!
//! | route or trigger | file |
//! |---|---|
//! | authorizer of the HTTP API | `authorize` |
//! | `POST /v1/orders` | `orders/create` |
//! | `GET /v1/orders/{request_id}` | `orders/get` |
//! | `GET /v1/orders` | `orders/list` |
//! | `POST /v1/orders/{request_id}/abort` | `orders/abort` |
//! | `GET /managed-accounts`, `/users/managed-accounts` | `managed_accounts/list` |
//! | `POST` the same | `managed_accounts/create` |
//! | `PUT` the same`/{short_id}` | `managed_accounts/update` |
//! | `DELETE` the same`/{short_id}` | `managed_accounts/delete` |
//! | queue `jobs.fifo` | `jobs/place_order` |
//! | its dead-letter queue | `jobs/end_dead_order` |
//! | queue `webhooks` | `jobs/deliver_webhook` |
//! | every minute | `sweep` |
//! | the sandbox retailer | `sandbox` |

pub mod authorize;
pub mod jobs;
pub mod managed_accounts;
pub mod orders;
pub mod sandbox;
pub mod sweep;
