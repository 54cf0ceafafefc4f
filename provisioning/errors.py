"""How the tool fails: with a code the catalogue has words for."""

from edge_agent.system_words import system_words
from edge_agent.texts import text


class ProvisionError(Exception):
    """`code` is a key of edge_agent.texts.provision; `exit_code` one of edge_agent.terminal."""

    def __init__(self, code: str, exit_code: int, /, **params: object) -> None:
        super().__init__(code)
        self.code, self.exit_code, self.params = code, exit_code, params

    def say(self, lang: str) -> str:
        """What is wrong and what to do, in words."""
        params = {key: system_words(value, lang) if key == "why" else value for key, value in self.params.items()}
        return text(f"provision.{self.code}", lang, **params)
