"""Facts as the scenarios have them, about a kernel that is made up."""
