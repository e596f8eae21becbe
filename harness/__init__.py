"""The contract between platforms and scenarios, and the code that runs, judges and reports trials."""
