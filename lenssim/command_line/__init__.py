"""What the commands of both packages share.

command_group   errors in one sentence, exit codes
interruption    Ctrl-C, SIGTERM and SIGHUP
progress_bar    progress on stderr
program         starting a program
terminal        text that the terminal cannot show
"""
