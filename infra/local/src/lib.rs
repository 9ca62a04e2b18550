//! The local stack: everything that stands around the functions on AWS, on one machine.
//!
//! It reads `template.yaml`, starts emulators for the AWS services, and runs the functions' own
//! bootstrap binaries behind the protocols Lambda, API Gateway and the SQS event sources speak.
//! Nothing about a function is written here: routes, queues, schedules, limits and environment
//! come from the template, so what works locally is what gets deployed.
//!
//! It must not make anything easier than AWS does: a function that is frozen, killed, retried or
//! handed a message twice in the cloud is frozen, killed, retried and handed it twice here.

pub mod aws;
pub mod child;
pub mod clock;
pub mod emulators;
pub mod http_api;
pub mod intrinsics;
pub mod lambda;
pub mod logs;
pub mod mail;
pub mod model;
pub mod provision;
pub mod queues;
pub mod schedules;
pub mod stack;
pub mod template;
pub mod yaml;
