# What keeps the tools from faults; docs/trust.md tells what each of these shows. What tests do not repeat every time.

include Tests/Fuzzing/rules.mk
